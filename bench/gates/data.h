/* Scenarios of the simulation study: distributions whose truth is known, and one experiment from
 * them. An experiment is a function of (scenario, rows, number). */
#ifndef PAWL_BENCH_GATES_DATA_H
#define PAWL_BENCH_GATES_DATA_H

#include "base/arena.h"
#include "eval/method.h"
#include "eval/stats_draw.h"

enum { DATA_ROWS = 100000, DATA_CLASSES = 5, SIZES = 6 };

/* Room for one experiment's columns. */
struct data {
    void *memory;
    int64_t n;
    uint64_t seed;                  /* of the resampling */
    double *score[2], *tokens;      /* [DATA_ROWS] */
    int32_t *label, *prediction[2]; /* [DATA_ROWS] */
    float *confidence[2];           /* [DATA_ROWS] */
    float *probability[2];          /* [DATA_ROWS, 2] */
    float *target, *predicted;      /* [DATA_ROWS] */
    int64_t *cluster;               /* [DATA_ROWS] */
    uint8_t *in[2];                 /* [DATA_ROWS] */
    struct outcomes outcomes[2];
};

/* Fills an experiment of data->n rows; `knob` as its definition says. */
typedef void make_rows(struct data *data, struct words *words, const double knob[4]);
make_rows make_share, make_pair, make_slices, make_skewed, make_confident, make_confident_pair,
    make_documents, make_found, make_ranked, make_sure, make_classes, make_line, make_clusters,
    make_sure_clusters, make_times, make_versions;

struct scenario {
    const char *name;
    const char *metric;
    struct demand demand; /* but for the metric; the bar only chooses the method */
    make_rows *make;
    double knob[4];
    double truth;    /* NaN: found from 5,000,000 rows */
    bool compared;   /* there is a second subject */
    bool few;        /* sizes are of measurements or versions */
    int32_t classes; /* 0: no classes */
    struct {
        int64_t n;
        int experiments;
    } sizes[SIZES]; /* n: rows, clusters, or rows of the smaller slice */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* NO_MEMORY. The caller frees `memory`. */
enum code data_take(struct data *data, struct err *err);
/* Experiment `number` with size n. */
void data_make(struct data *data, const struct scenario *scenario, int64_t n, uint64_t number);

#endif
