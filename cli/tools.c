/* pawl runs, doctor, man, completion. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/shared.h"
#include "trainer/run.h"
#include "workflow/doctor.h"

#include <stdio.h>
#include <string.h>

static const struct option no_options[] = { { 0 } };

static const struct option runs_options[] = {
    { "run", OPTION_TEXT, "DIR", "The folder of runs; default runs." },
    { 0 },
};

static enum code run_doctor(struct invocation *in, struct err *err)
{
    json_t *report;
    enum code code = doctor_examine(&report, in->arg_count ? in->args[0] : ".", err);
    if (code && !report) return code;
    if (!print_json(in, report)) {
        const json_t *checks = json_object_get(report, "checks");
        for (size_t i = 0; i < json_array_size(checks); i++) {
            const json_t *check = json_array_get(checks, i);
            printf("%-7s %-14s %s\n", json_string_value(json_object_get(check, "state")),
                   json_string_value(json_object_get(check, "name")),
                   json_string_value(json_object_get(check, "text")));
        }
    }
    json_decref(report);
    return code;
}

/* One line of `runs list`; false for a folder that is no run. */
static bool add_run(json_t *list, struct arena *arena, const char *folder, const char *name)
{
    json_t *manifest;
    struct run_progress progress = { 0 };
    const char *dir = path_join(arena, folder, name);
    struct err unused;
    if (run_manifest(&manifest, dir, &unused)) return false;
    if (run_progress_read(&progress, dir, &unused)) progress = (struct run_progress){ 0 };
    json_array_append_new(list,
                          json_pack("{s:s,s:s,s:I,s:I,s:O,s:O*}", "run", dir, "state",
                                    progress.finished ? "done" : "unfinished", "step",
                                    (json_int_t)progress.step, "steps", (json_int_t)progress.steps,
                                    "config_digest", json_object_get(manifest, "config_digest"),
                                    "metrics", progress.metrics));
    run_progress_release(&progress);
    json_decref(manifest);
    return true;
}

static void print_runs(const struct invocation *in, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *run = json_array_get(list, i);
        printf("%-28s %-10s step %-8lld %s", json_string_value(json_object_get(run, "run")),
               json_string_value(json_object_get(run, "state")),
               (long long)json_integer_value(json_object_get(run, "step")),
               short_digest(in->arena, json_string_value(json_object_get(run, "config_digest"))));
        const char *name;
        json_t *value;
        json_object_foreach(json_object_get(run, "metrics"), name, value)
            printf("  %s %.4f", name, json_number_value(value));
        puts("");
    }
    if (!json_array_size(list)) puts("no runs");
}

static enum code run_runs_list(struct invocation *in, struct err *err)
{
    const char *folder = text_of(in, "run");
    char **names;
    if (!folder) folder = "runs";
    TRY(fs_list(in->arena, &names, NULL, folder, err));
    json_t *list = json_array();
    for (; *names; names++) add_run(list, in->arena, folder, *names);
    json_t *document = json_pack("{s:s,s:o}", "pawl", "runs/1", "runs", list);
    if (!print_json(in, document)) print_runs(in, list);
    json_decref(document);
    return OK;
}

/* What a record says beside its kind and step: "accuracy 0.9750  log_loss 0.1623". */
static void add_members(struct str *out, json_t *record)
{
    static const char *const said[] = { "pawl", "kind", "step", "incarnation" };
    const char *name, *text;
    json_t *value;
    json_object_foreach(record, name, value)
    {
        bool skip = false;
        for (size_t i = 0; i < sizeof said / sizeof *said; i++) skip |= strcmp(name, said[i]) == 0;
        if (skip) continue;
        if (json_is_object(value)) {
            add_members(out, value);
        } else if (json_is_real(value)) {
            str_addf(out, "  %s %.4g", name, json_real_value(value));
        } else if (json_is_integer(value)) {
            str_addf(out, "  %s %lld", name, (long long)json_integer_value(value));
        } else if ((text = json_string_value(value))) {
            str_addf(out, text_starts(text, "sha256:") ? "  %.0s%.19s" : "  %.0s%s", name, text);
        }
    }
}

/* A run: what made it, then its records but for those of single steps. */
static void run_text(struct str *out, const json_t *document)
{
    const json_t *records = json_object_get(document, "records");
    size_t steps = 0;
    run_facts_text(out, json_object_get(document, "manifest"));
    str_add(out, "\nrecords\n");
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *record = json_array_get(records, i);
        const char *kind = text_in(record, "kind");
        if (strcmp(kind, "step") == 0) {
            steps++;
            continue;
        }
        str_addf(out, "  step %-8lld %-10s", number_in(record, "step"), kind);
        add_members(out, record);
        str_add(out, "\n");
    }
    str_addf(out, "  and %zu records of single steps: see --format json\n", steps);
}

static enum code run_runs_show(struct invocation *in, struct err *err)
{
    json_t *manifest, *records;
    TRY(run_manifest(&manifest, in->args[0], err));
    enum code code = run_log_read_all(&records, in->args[0], err);
    if (code) {
        json_decref(manifest);
        return code;
    }
    json_t *document = json_pack("{s:s,s:o,s:o}", "pawl", "run-records/1", "manifest", manifest,
                                 "records", records);
    print_document(in, document, run_text);
    json_decref(document);
    return OK;
}

static enum code print_made(const struct invocation *in, void (*make)(struct str *out))
{
    struct str text = { 0 };
    make(&text);
    print_text(in, str_text(&text));
    str_release(&text);
    return OK;
}

static enum code run_man(struct invocation *in, struct err *err)
{
    (void)err;
    return print_made(in, help_man);
}

static enum code run_completion(struct invocation *in, struct err *err)
{
    (void)err;
    return print_made(in, help_completion);
}

const struct command tool_commands[] = {
    { .name = "runs list",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Lists the runs in a folder.",
      .example = "pawl runs list",
      .options = runs_options,
      .run = run_runs_list },
    { .name = "runs show",
      .args = "RUN",
      .least = 1,
      .most = 1,
      .help = "Shows a run's manifest and its records.",
      .example = "pawl runs show runs/fashion-cnn",
      .options = no_options,
      .run = run_runs_show },
    { .name = "doctor",
      .args = "[DIR]",
      .least = 0,
      .most = 1,
      .help = "Examines processor, libraries and the file system of DIR.",
      .example = "pawl doctor /srv/registry",
      .options = no_options,
      .run = run_doctor },
    { .name = "man",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Prints the man page.",
      .example = "pawl man > pawl.1",
      .options = no_options,
      .run = run_man },
    { .name = "completion",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Prints completion for bash.",
      .example = "pawl completion > /usr/share/bash-completion/completions/pawl",
      .options = no_options,
      .run = run_completion },
    { 0 },
};
