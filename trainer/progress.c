/* What a run shows while it goes: log, TensorBoard, status, the live line. */
#include "base/clock.h"
#include "base/log.h"
#include "trainer/loop.h"

#include <stdio.h>
#include <string.h>

enum { STATUS_INTERVAL_S = 2 };
static const double live_interval_s = 0.2;

void trainer_note(struct trainer *t, json_t *record)
{
    struct err err;
    if (!ranks_lead(&t->ranks)) {
        json_decref(record);
        return;
    }
    if (run_log_add(&t->run.log, record, &err)) log_warn("%s", err.message);
}

static void show_live(struct trainer *t, double rows_per_s)
{
    double left = rows_per_s > 0
                      ? (double)((t->total_steps - t->number) * t->experiment->batch) / rows_per_s
                      : 0;
    log_live("epoch %lld  step %lld/%lld  loss %.4f  lr %.2e  %.0f rows/s  %.0f s left",
             (long long)(t->number / t->epoch_steps + (t->number % t->epoch_steps != 0)),
             (long long)t->number, (long long)t->total_steps, t->loss, t->rate, rows_per_s, left);
}

static double speed(const struct trainer *t, double now)
{
    double seconds = now - t->began;
    return seconds > 0 ? (double)((t->number - t->began_at) * t->experiment->batch) / seconds : 0;
}

void trainer_status(struct trainer *t, const char *state)
{
    struct arena arena = { 0 };
    struct err err; /* views may fail */
    if (!ranks_lead(&t->ranks)) return;
    char time[TIME_TEXT];
    double rate = speed(t, clock_monotonic());
    json_t *status = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:s,s:O*}", "pawl", "run-status/1", "state", state,
        "step", (json_int_t)t->number, "steps", (json_int_t)t->total_steps, "epoch",
        (json_int_t)(t->number / t->epoch_steps), "loss", t->loss, "rate", t->rate, "rows_per_s",
        rate, "time", clock_utc(time), "metrics", t->metrics);
    bool scaled = t->experiment->precision == PRECISION_F16;
    double scale = step_state(&t->step).loss_scale;
    if (scaled) json_object_set_new(status, "loss_scale", json_real(scale));
    size_t len;
    const char *text = json_pretty(&arena, status, &len);
    const char *view = path_join(&arena, t->run.dir, "view");
    fs_publish_view(path_join(&arena, view, "status.json"), text, len, &err);
    char *prom = arena_format(&arena,
                              "# TYPE pawl_step gauge\npawl_step{run=\"%s\"} %lld\n"
                              "# TYPE pawl_loss gauge\npawl_loss{run=\"%s\"} %.9g\n"
                              "# TYPE pawl_rows_per_second gauge\n"
                              "pawl_rows_per_second{run=\"%s\"} %.9g\n",
                              t->experiment->name, (long long)t->number, t->experiment->name,
                              t->loss, t->experiment->name, rate);
    if (scaled)
        prom = arena_format(&arena,
                            "%s# TYPE pawl_loss_scale gauge\npawl_loss_scale{run=\"%s\"} %.9g\n",
                            prom, t->experiment->name, scale);
    fs_publish_view(path_join(&arena, view, "metrics.prom"), prom, strlen(prom), &err);
    json_decref(status);
    arena_release(&arena);
}

static void record_step(struct trainer *t, double now)
{
    struct err err;
    double mean = t->loss_count ? t->loss_sum / (double)t->loss_count : t->loss;
    double seconds = now - t->last_log;
    double rows = (double)((t->number - t->logged_at) * t->experiment->batch);
    bool scaled = t->experiment->precision == PRECISION_F16;
    double scale = step_state(&t->step).loss_scale;
    json_t *record = json_pack("{s:s,s:I,s:I,s:f,s:f,s:f,s:f,s:I}", "kind", "step", "step",
                               (json_int_t)t->number, "epoch",
                               (json_int_t)((t->number - 1) / t->epoch_steps), "loss", mean, "rate",
                               t->rate, "gradient_norm", t->norm, "rows_per_s",
                               seconds > 0 ? rows / seconds : 0, "skipped", (json_int_t)t->skipped);
    if (scaled) json_object_set_new(record, "loss_scale", json_real(scale));
    trainer_note(t, record);
    tensorboard_scalar(&t->run.board, "train/loss", t->number, mean, &err);
    tensorboard_scalar(&t->run.board, "train/rate", t->number, t->rate, &err);
    tensorboard_scalar(&t->run.board, "train/gradient_norm", t->number, t->norm, &err);
    if (scaled) tensorboard_scalar(&t->run.board, "train/loss_scale", t->number, scale, &err);
    t->last_log = now;
    t->logged_at = t->number;
    t->loss_sum = 0;
    t->loss_count = 0;
}

void trainer_progress(struct trainer *t, bool force)
{
    double now = clock_monotonic();
    if (!ranks_lead(&t->ranks)) return;
    if (now - t->last_log >= t->experiment->log_every_s || (force && t->number > t->logged_at))
        record_step(t, now);
    if (now - t->last_status >= live_interval_s || force) {
        show_live(t, speed(t, now));
        if (force ||
            (int64_t)(now / STATUS_INTERVAL_S) != (int64_t)(t->last_status / STATUS_INTERVAL_S))
            trainer_status(t, "training");
        t->last_status = now;
    }
}
