/* How long a large registry takes to answer.
 *
 *   bench_registry [MODELS VERSIONS [DIR [MIB]]]    default 1000 100, in a folder of its own in
 *                                                   TMPDIR, and content of 256 MiB
 *
 * Makes a registry of MODELS x VERSIONS versions by writing valid entries (a chain that verifies;
 * content for the models that are promoted, not for all), then prints the time of each question
 * inside this process, of a promotion, and of adding beside cp and sha256sum.
 * bench/peers/registry_mlflow.py asks MLflow the same. */
#include "base/clock.h"
#include "base/rng.h"
#include "bench/registry/add.h"
#include "registry/checked.h"
#include "registry/find.h"
#include "registry/oci.h"
#include "registry/snapshot.h"
#include "registry/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED = 200, PROMOTED = 40, WITH_CONTENT = 10 };

struct made {
    struct registry registry;
    struct arena arena;
    struct err err;
    struct head head;
    long models, versions;
};

static const struct fs_calls *const real = &fs_calls_real;

static int no_fsync(int fd)
{
    (void)fd;
    return 0;
}

static void must(enum code code, struct made *made)
{
    if (!code) return;
    fprintf(stderr, "bench_registry: %s\n", made->err.message);
    exit(1);
}

static void write_entry(struct made *made, struct draft *draft)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    struct err *err = &made->err;
    draft->actor = "bench";
    must(entry_render(&arena, &bytes, draft, made->head.seq + 1, &made->head.digest, err), made);
    const char *path = journal_path(&arena, &made->registry.journal, made->head.seq + 1);
    if (made->head.seq % JOURNAL_FOLDER == 0) must(fs_mkdirs(path_dir(&arena, path), err), made);
    must(fs_publish_view(path, bytes.at, bytes.len, err), made);
    made->head.seq++;
    made->head.digest = digest_of(bytes.at, bytes.len);
    arena_release(&arena);
    draft_release(draft);
}

static void set_digest(json_t *body, const char *key, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    json_object_set_new(body, key, json_string(digest_text(digest, text)));
}

static double accuracy_of(long m, long v)
{
    return 0.5 + 0.5 * (double)philox4x32(7, (uint64_t)m, (uint64_t)v).word[0] / 4294967296.0;
}

/* The manifest's digest; its content is there for the first models only. */
static struct digest manifest_of(struct made *made, long m, const char *name,
                                 const struct digest *model)
{
    struct oci_version files = { .model_digest = *model };
    struct digest digest = digest_of(model, sizeof *model);
    if (m >= WITH_CONTENT) return digest;
    static const char *const names[] = { "model.safetensors", "model.json", "sample.h5" };
    for (int i = 0; i < 3; i++)
        files.layers[files.layer_count++] = (struct oci_layer){ names[i], *model, 4096 };
    must(oci_put(&made->registry, &files, &digest, name, &made->err), made);
    return digest;
}

static void write_version(struct made *made, long m, long v)
{
    char name[64], id[64];
    snprintf(name, sizeof name, "model-%05ld", m);
    snprintf(id, sizeof id, "%ld/%ld", m, v);
    struct digest model = digest_of(id, strlen(id));
    struct digest version = manifest_of(made, m, name, &model);
    struct draft draft = { .kind = ENTRY_REGISTER };
    draft.body = json_pack("{ss si ss s{ss si s{sf sf} s{ss}}}", "model", name, "number", (int)v,
                           "variant", "raw", "facts", "name", name, "seed", (int)v, "metrics",
                           "accuracy", accuracy_of(m, v), "loss", 1 - accuracy_of(m, v), "data",
                           "path", "train.h5");
    set_digest(draft.body, "digest", &version);
    set_digest(draft.body, "model_digest", &model);
    write_entry(made, &draft);
    if (v < made->versions - 1) return;
    draft = (struct draft){ .kind = ENTRY_REPORT };
    draft.body = json_pack("{ss si ss s{}}", "model", name, "number", (int)v, "verdict", "pass",
                           "files");
    struct digest suite = digest_of("suite", 5);
    set_digest(draft.body, "model_digest", &model);
    set_digest(draft.body, "suite", &suite);
    set_digest(draft.body, "report", &model);
    write_entry(made, &draft);
    if (v < made->versions) return;
    draft = (struct draft){ .kind = ENTRY_PROMOTE };
    draft.body = json_pack("{ss si ss sn sb}", "model", name, "number", (int)v, "channel",
                           "production", "from", "unchanged", 0);
    set_digest(draft.body, "digest", &version);
    set_digest(draft.body, "model_digest", &model);
    set_digest(draft.body, "report", &model);
    write_entry(made, &draft);
}

static void make(struct made *made, const char *dir)
{
    double begin = clock_monotonic();
    fs_calls.fsync = no_fsync;
    must(registry_init(dir, "bench", "to measure", &made->err), made);
    must(registry_open(&made->registry, dir, &made->err), made);
    must(registry_refresh(&made->registry, &made->err), made);
    made->head = made->registry.state.head;
    for (long v = 1; v <= made->versions; v++)
        for (long m = 0; m < made->models; m++) write_version(made, m, v);
    for (long m = 0; m < WITH_CONTENT && m < made->models; m++) {
        char name[64];
        snprintf(name, sizeof name, "model-%05ld", m);
        must(oci_make_layout(&made->registry, name, &made->err), made);
    }
    fs_calls.fsync = real->fsync;
    printf("%-34s %10.2f s   %lld entries, %ld models, %ld versions\n", "made",
           clock_monotonic() - begin, (long long)made->head.seq, made->models,
           made->models * made->versions);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *what, double *seconds, int count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, by_value);
    printf("%-34s %10.3f ms  median of %d, slowest %.3f ms\n", what, seconds[count / 2] * 1e3,
           count, seconds[count - 1] * 1e3);
}

/* REFs with %ld for a model, and for a version where `by_number`. */
static void time_resolve(struct made *made, const char *what, const char *format, bool by_number)
{
    double seconds[ASKED];
    for (int i = 0; i < ASKED; i++) {
        struct resolved resolved;
        struct registry fresh;
        char ref[160];
        long m = (long)(philox4x32(3, (uint64_t)i, 0).word[0] % (uint32_t)made->models);
        int len = snprintf(ref, sizeof ref, "model-%05ld@%s", m, format);
        if (by_number) snprintf(ref + len, sizeof ref - (size_t)len, "%ld", 1 + i % made->versions);
        must(registry_open(&fresh, made->registry.dir, &made->err), made);
        double begin = clock_monotonic();
        must(registry_resolve(&fresh, &resolved, ref, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
        registry_close(&fresh);
    }
    print_times(what, seconds, ASKED);
}

static void time_find(struct made *made, const char *expression)
{
    enum { TIMES = 5 };
    double seconds[TIMES];
    char what[80];
    size_t rows = 0;
    for (int i = 0; i < TIMES; i++) {
        json_t *found;
        double begin = clock_monotonic();
        must(registry_find(&made->registry, &found, expression, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
        rows = json_array_size(json_object_get(found, "versions"));
        json_decref(found);
    }
    snprintf(what, sizeof what, "find, %zu found", rows);
    print_times(what, seconds, TIMES);
    printf("    %s\n", expression);
}

static void time_list(struct made *made, const char *what, const char *model)
{
    enum { TIMES = 5 };
    double seconds[TIMES];
    for (int i = 0; i < TIMES; i++) {
        json_t *list;
        double begin = clock_monotonic();
        must(registry_list(&made->registry, &list, model, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
        json_decref(list);
    }
    print_times(what, seconds, TIMES);
    for (int i = 0; i < TIMES; i++) {
        struct str text = { 0 };
        double begin = clock_monotonic();
        must(registry_list_text(&made->registry, &text, model, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
        str_release(&text);
    }
    print_times("    the same as lines", seconds, TIMES);
    for (int i = 0; i < TIMES; i++) {
        struct str text = { 0 };
        double begin = clock_monotonic();
        must(registry_list_json(&made->registry, &text, model, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
        str_release(&text);
    }
    print_times("    the same as list/1", seconds, TIMES);
}

static void time_promote(struct made *made)
{
    double seconds[PROMOTED];
    for (int i = 0; i < PROMOTED; i++) {
        struct moved moved;
        char name[64];
        snprintf(name, sizeof name, "model-%05d", i % WITH_CONTENT);
        struct move_opts opts = { .model = name,
                                  .channel = "production",
                                  .number = made->versions - (i / WITH_CONTENT + 1) % 2,
                                  .from = CHANNEL_ANY,
                                  .actor = "bench",
                                  .reason = "to measure" };
        double begin = clock_monotonic();
        must(registry_promote(&made->registry, &moved, &opts, &made->err), made);
        seconds[i] = clock_monotonic() - begin;
    }
    print_times("promote (fsynced)", seconds, PROMOTED);
}

/* As the last writer would have left it; indexes need content that most models here do not have. */
static void write_channels(struct made *made)
{
    json_t *json = channels_view_of(&made->registry.state);
    struct bytes bytes = checked_render(&made->arena, json);
    const char *path = path_join(&made->arena, made->registry.dir, "cache/channels.json");
    must(fs_publish_view(path, bytes.at, bytes.len, &made->err), made);
    json_decref(json);
}

static void measure(struct made *made)
{
    struct snapshot snapshot;
    double begin = clock_monotonic();
    must(registry_refresh(&made->registry, &made->err), made);
    printf("%-34s %10.2f s   every entry read and checked\n", "whole journal into the state",
           clock_monotonic() - begin);
    write_channels(made);
    begin = clock_monotonic();
    must(snapshot_write(&made->registry, 0, &made->err), made);
    double cold = clock_monotonic() - begin;
    must(snapshot_map(&made->registry, &snapshot, &made->err), made);
    printf("%-34s %10.2f s   %.1f MB\n", "cold rebuild of the snapshot", cold,
           (double)snapshot.size / 1e6);
    snapshot_close(&snapshot);
    time_resolve(made, "resolve NAME@CHANNEL", "production", false);
    time_resolve(made, "resolve NAME@N", "", true);
    time_find(made, "accuracy > 0.999");
    time_find(made, "accuracy > 0.92 and channel = production");
    time_find(made, "model ~ 0042 and seed = 7 or accuracy < 0.5001");
    time_list(made, "list of one model", "model-00007");
    time_list(made, "list of all (as objects in memory)", NULL);
    time_promote(made);
    time_resolve(made, "resolve after promotions", "production", false);
    time_find(made, "accuracy > 0.999 and number > 50");
}

int main(int argc, char **argv)
{
    struct made made = { .models = argc > 1 ? strtol(argv[1], NULL, 10) : 1000,
                         .versions = argc > 2 ? strtol(argv[2], NULL, 10) : 100 };
    const char *tmp = getenv("TMPDIR");
    char work[200];
    snprintf(work, sizeof work, "%s/pawl-bench-registry-XXXXXX",
             argc > 3      ? argv[3]
             : tmp && *tmp ? tmp
                           : "/tmp");
    if (made.models < WITH_CONTENT || made.versions < 2 || !mkdtemp(work)) {
        fprintf(stderr, "usage: bench_registry [MODELS >= %d VERSIONS >= 2 [DIR [MIB]]]\n",
                WITH_CONTENT);
        return 2;
    }
    make(&made, path_join(&made.arena, work, "registry"));
    measure(&made);
    time_add(&made.registry, work, argc > 4 ? (int)strtol(argv[4], NULL, 10) : 256);
    registry_close(&made.registry);
    fs_remove_tree(work, NULL);
    arena_release(&made.arena);
    return 0;
}
