/* Choices between ways to compute a call: the table and its file, the search, what prepare takes.
 * The device's clock and the ways are made up (shared_far), so that it is known what must win. */
#include "kernels/algorithm.h"
#include "shared_far.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

/* A linear op on host tensors that the device copies; `rows` makes calls differ. */
struct bench {
    struct device device;
    struct algorithms table;
    union op_attr attr;
    struct op_call call;
    char text[ALGORITHM_CALL];
};

static struct tensor shaped(struct shape shape)
{
    return (struct tensor){ .dtype = DTYPE_F32, .shape = shape };
}

static void set_call(struct bench *bench, int64_t rows)
{
    bench->call = (struct op_call){ .op = OP_LINEAR, .attr = &bench->attr, .ins = 3, .outs = 1 };
    bench->call.in[0] = shaped(SHAPE(rows, 5));
    bench->call.in[1] = shaped(SHAPE(7, 5));
    bench->call.in[2] = shaped(SHAPE(7));
    bench->call.out[0] = shaped(SHAPE(rows, 7));
    cr_assert(algorithm_call_text(bench->text, &bench->device, &bench->call));
}

static void open_bench(struct bench *bench, int kind, double (*clock)(const struct op_call *call))
{
    struct err err = { 0 };
    struct device inner;
    memset(bench, 0, sizeof *bench);
    MUST(device_open(&inner, "cpu", 1, &err));
    MUST(device_open_far(&bench->device, &inner, kind | FAR_CHOICES, &err));
    far_clock(&bench->device, clock);
    algorithms_init(&bench->table, "FILE");
    bench->table.missing = MISSING_SEARCHED;
    bench->device.algorithms = &bench->table;
    set_call(bench, 3);
}

static void close_bench(struct bench *bench)
{
    device_close(&bench->device);
    algorithms_release(&bench->table);
}

static const struct algorithm_row *row_of(const struct bench *bench)
{
    return algorithms_find(&bench->table, bench->device.description, bench->text);
}

/* Milliseconds of exact, trimmed and drifting. */
static double timed(const struct op_call *call, double exact, double trimmed, double drifting)
{
    return 1e-3 * (strcmp(call->algorithm, FAR_TRIMMED) == 0    ? trimmed
                   : strcmp(call->algorithm, FAR_DRIFTING) == 0 ? drifting
                                                                : exact);
}

static double exact_wins(const struct op_call *call)
{
    return timed(call, 1, 2, 3);
}

static double trimmed_wins(const struct op_call *call)
{
    return timed(call, 2, 1, 3);
}

static double drifting_is_fastest(const struct op_call *call)
{
    return timed(call, 3, 2, 1);
}

static double all_alike(const struct op_call *call)
{
    return timed(call, 1, 1, 1);
}

/* Slow once in three runs: the middle is what counts. */
static double exact_stumbles(const struct op_call *call)
{
    static int run;
    return timed(call, run++ % 3 == 0 ? 2.5 : 1, 2, 3);
}

Test(algorithm, the_fastest_way_that_repeats_itself_is_kept_and_of_equals_the_first)
{
    static const struct {
        const char *name;
        double (*clock)(const struct op_call *call);
        const char *wins;
        int64_t nanoseconds;
    } rows[] = {
        { "exact", exact_wins, FAR_EXACT, 1000000 },
        { "trimmed", trimmed_wins, FAR_TRIMMED, 1000000 },
        { "drifting", drifting_is_fastest, FAR_TRIMMED, 2000000 },
        { "alike", all_alike, FAR_EXACT, 1000000 },
        { "stumbling", exact_stumbles, FAR_EXACT, 1000000 },
    };
    static const int kinds[] = { FAR_PLAIN, FAR_QUEUE };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int k = 0; k < 2; k++) {
            struct err err = { 0 };
            struct bench bench;
            open_bench(&bench, kinds[k], rows[r].clock);
            MUST(call_prepare(&bench.device, &bench.call, &err));
            const struct algorithm_row *row = row_of(&bench);
            cr_assert(row && bench.table.count == 1, "%s", rows[r].name);
            cr_expect_str_eq(row->choice, rows[r].wins, "%s", rows[r].name);
            cr_expect_str_eq(row->name, rows[r].wins, "%s", rows[r].name);
            cr_expect_eq(row->nanoseconds, rows[r].nanoseconds, "%s: %lld", rows[r].name,
                         (long long)row->nanoseconds);
            cr_expect_str_eq(bench.call.algorithm, rows[r].wins, "%s", rows[r].name);
            cr_expect_eq(far_counts(&bench.device).cleared % (2 * bench.device.cache_bytes), 0);
            cr_expect(far_counts(&bench.device).cleared >= 15 * 2 * bench.device.cache_bytes,
                      "%s: caches were warm", rows[r].name);
            call_release(&bench.device, &bench.call);
            uint64_t runs = far_counts(&bench.device).runs;
            bench.call.choice = NULL;
            MUST(call_prepare(&bench.device, &bench.call, &err));
            cr_expect_str_eq(bench.call.algorithm, rows[r].wins, "%s, again", rows[r].name);
            cr_expect_eq(far_counts(&bench.device).runs, runs, "%s: searched twice", rows[r].name);
            call_release(&bench.device, &bench.call);
            close_bench(&bench);
        }
}

/* Time that passes with each look at it, and a listener that gives up. */
struct watch {
    double now, each;
    int told, searched, give_up_at;
};

static double look(void *context)
{
    struct watch *watch = context;
    return watch->now += watch->each;
}

static enum code listen(void *context, const struct algorithm_progress *progress, struct err *err)
{
    struct watch *watch = context;
    watch->told++;
    watch->searched = progress->searched;
    cr_expect(progress->candidate < progress->of && progress->of == 4);
    if (watch->told != watch->give_up_at) return OK;
    return err_set(err, STOPPED, "enough");
}

Test(algorithm, what_the_budget_leaves_takes_the_first_answer_and_is_so_recorded)
{
    struct err err = { 0 };
    struct bench bench;
    struct watch watch = { .each = 0.01 };
    open_bench(&bench, FAR_QUEUE, trimmed_wins);
    bench.table.search = (struct algorithm_search_opts){
        .budget_s = 10, .now = look, .progress = listen, .context = &watch
    };
    for (int64_t rows = 1; rows <= 30; rows++) {
        set_call(&bench, rows);
        if (rows == 4) watch.each = 0.2; /* one call may take a second: a few looks */
        MUST(call_prepare(&bench.device, &bench.call, &err));
        const struct algorithm_row *row = row_of(&bench);
        cr_assert(row);
        cr_expect_eq(row->nanoseconds < 0, bench.table.spent_s >= 10 && watch.searched < rows - 1,
                     "call %d: %lld", (int)rows, (long long)row->nanoseconds);
        cr_expect_str_eq(row->choice, rows < 4 ? FAR_TRIMMED : FAR_EXACT, "call %d", (int)rows);
        call_release(&bench.device, &bench.call);
    }
    cr_expect(row_of(&bench)->nanoseconds == -1 && bench.table.searched == 30);
    cr_expect(bench.table.spent_s < 30 && watch.searched > 3);
    close_bench(&bench);
    open_bench(&bench, FAR_QUEUE, trimmed_wins);
    watch = (struct watch){ .give_up_at = 3 };
    bench.table.search = (struct algorithm_search_opts){ .progress = listen, .context = &watch };
    cr_expect_eq(call_prepare(&bench.device, &bench.call, &err), STOPPED);
    cr_expect_str_eq(err.message, "enough");
    cr_expect_eq(bench.table.count, 0);
    close_bench(&bench);
}

Test(algorithm, without_memory_for_a_search_a_call_takes_the_first_answer)
{
    uint64_t n = 0, before;
    int untimed = 0;
    do {
        struct err err = { 0 };
        struct bench bench;
        open_bench(&bench, FAR_PLAIN, trimmed_wins);
        before = memory_allocations();
        memory_fail_after(++n);
        enum code code = call_prepare(&bench.device, &bench.call, &err);
        memory_fail_after(0);
        const struct algorithm_row *row = row_of(&bench);
        /* the last ones are of the call itself */
        cr_expect(row && (code == OK || code == NO_MEMORY), "allocation %d: %s", (int)n,
                  err.message);
        if (row && row->nanoseconds < 0) {
            cr_expect_str_eq(row->choice, FAR_EXACT);
            untimed++;
        }
        before = memory_allocations() - before;
        call_release(&bench.device, &bench.call);
        close_bench(&bench);
    } while (n < before);
    cr_expect(untimed >= 5, "%d", untimed);
}

Test(algorithm, a_call_without_a_row_or_with_one_that_is_refused_ends_with_what_to_do)
{
    struct err err = { 0 };
    struct bench bench;
    open_bench(&bench, FAR_QUEUE, trimmed_wins);
    bench.table.missing = MISSING_REFUSED;
    cr_expect_eq(call_prepare(&bench.device, &bench.call, &err), CONFIG);
    cr_expect(strstr(err.message, "'FILE'") && strstr(err.message, bench.text) && err.hint[0], "%s",
              err.message);
    struct algorithm_row row = { bench.device.description, bench.text, FAR_REFUSED, "old", 5 };
    algorithms_set(&bench.table, &row);
    cr_expect_eq(call_prepare(&bench.device, &bench.call, &err), CONFIG);
    cr_expect(strstr(err.message, "'FILE', row 0") && strstr(err.message, bench.text) &&
                  strstr(err.message, "knows no way") && err.hint[0],
              "%s", err.message);
    cr_expect_str_eq(row_of(&bench)->choice, FAR_REFUSED);
    bench.table.missing = MISSING_SEARCHED;
    bench.call.choice = NULL;
    cr_expect_eq(call_prepare(&bench.device, &bench.call, &err), CONFIG, "searched anew");
    bench.table.replace = true;
    bench.call.choice = NULL;
    MUST(call_prepare(&bench.device, &bench.call, &err));
    cr_expect_str_eq(row_of(&bench)->choice, FAR_TRIMMED);
    call_release(&bench.device, &bench.call);
    close_bench(&bench);

    open_bench(&bench, FAR_QUEUE, trimmed_wins);
    bench.table.missing = MISSING_FIRST;
    MUST(call_prepare(&bench.device, &bench.call, &err));
    cr_expect(!bench.call.choice && bench.table.count == 0);
    call_release(&bench.device, &bench.call);
    bench.device.algorithms = NULL;
    MUST(call_prepare(&bench.device, &bench.call, &err));
    cr_expect(!bench.call.choice && far_counts(&bench.device).runs == 0);
    call_release(&bench.device, &bench.call);
    close_bench(&bench);
}

/* Each member of a call that may decide which way is fastest. */
static void vary(struct bench *bench, int what)
{
    struct op_call *call = &bench->call;
    switch (what) {
    case 1:
        call->in[0].shape.dim[0] = call->out[0].shape.dim[0] = 4;
        break;
    case 2:
        call->in[2].shape.rank = -1;
        break;
    case 3:
        bench->attr.linear.act = ACT_GELU;
        break;
    case 4:
        call->accumulate = 1;
        break;
    case 5:
        bench->device.tf32 = true;
        break;
    case 6:
        call->in[0].dtype = call->in[1].dtype = DTYPE_BF16;
        break;
    case 7:
        call->out[0].dtype = DTYPE_BF16;
        break;
    case 8:
        call->op = OP_LINEAR_BWD_DATA;
        call->ins = 2;
        break;
    default:
        break;
    }
}

Test(algorithm, what_decides_the_way_is_in_the_key)
{
    enum { CALLS = 9 };
    char texts[CALLS][ALGORITHM_CALL];
    struct bench bench;
    open_bench(&bench, FAR_PLAIN, NULL);
    for (int c = 0; c < CALLS; c++) {
        set_call(&bench, 3);
        bench.attr.linear.act = ACT_NONE;
        bench.device.tf32 = false;
        vary(&bench, c);
        cr_assert(algorithm_call_text(texts[c], &bench.device, &bench.call));
        for (int other = 0; other < c; other++) cr_expect_str_neq(texts[c], texts[other]);
    }
    cr_expect_str_eq(texts[0], "linear f32[3,5] f32[7,5] f32[7] -> f32[3,7] act=none");
    cr_expect_str_eq(texts[4], "linear f32[3,5] f32[7,5] f32[7] -> f32[3,7] act=none add=1");
    set_call(&bench, 3);
    bench.call.in[0].layout = 1;
    cr_expect_null(algorithm_call_text(texts[0], &bench.device, &bench.call));
    union op_attr attr[2] = {
        { .conv = { .pad = { 1, 1, 1, 1 } } },
        { .conv = { .stride = { 1, 1 }, .dilation = { 1, 1 }, .pad = { 1, 1, 1, 1 }, .groups = 1 } }
    };
    struct op_call conv = { .op = OP_CONV2D, .ins = 2, .outs = 1 };
    conv.in[0] = conv.out[0] = shaped(SHAPE(2, 4, 4, 3));
    conv.in[1] = shaped(SHAPE(3, 3, 3, 3));
    for (int i = 0; i < 2; i++) {
        conv.attr = &attr[i];
        cr_assert(algorithm_call_text(texts[i], &bench.device, &conv));
    }
    cr_expect_str_eq(texts[0], texts[1]);
    attr[1].conv.stride[1] = 2;
    cr_assert(algorithm_call_text(texts[1], &bench.device, &conv));
    cr_expect_str_neq(texts[0], texts[1]);
    conv.op = OP_RELU;
    cr_expect_null(algorithm_call_text(texts[0], &bench.device, &conv));
    close_bench(&bench);
}

enum { ROWS = 300 };

static void fill(struct algorithms *table, int from, int step)
{
    char call[64], choice[64];
    algorithms_init(table, "FILE");
    for (int i = 0; i < ROWS; i++) {
        int n = (from + i * step) % ROWS;
        snprintf(call, sizeof call, "call %d", n);
        snprintf(choice, sizeof choice, "choice %d", n);
        struct algorithm_row row = { n % 2 ? "card A" : "card B", call, choice, "name",
                                     n % 3 ? n : -1 };
        algorithms_set(table, &row);
    }
}

static void folder(char path[64])
{
    snprintf(path, 64, "%s/pawl-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(path));
}

Test(algorithm, a_table_comes_back_from_its_file_whatever_the_order_of_its_rows)
{
    struct err err = { 0 };
    struct algorithms a, b, read;
    struct arena arena = { 0 };
    char dir[64];
    folder(dir);
    const char *path = path_join(&arena, dir, "algorithms.json");
    fill(&a, 0, 1);
    fill(&b, 17, 7);
    struct digest left = algorithms_digest(&a), right = algorithms_digest(&b);
    cr_expect(digest_equal(&left, &right));
    MUST(algorithms_publish(&b, path, &err));
    algorithms_init(&read, path);
    MUST(algorithms_load(&read, path, &err));
    struct digest again = algorithms_digest(&read);
    cr_expect(digest_equal(&left, &again) && read.count == ROWS && !read.changed);
    for (int n = 0; n < ROWS; n++) {
        const char *call = arena_format(&arena, "call %d", n);
        const struct algorithm_row *row = algorithms_find(&read, n % 2 ? "card A" : "card B", call);
        cr_assert(row);
        cr_expect_str_eq(row->choice, arena_format(&arena, "choice %d", n));
        cr_expect_eq(row->nanoseconds, n % 3 ? n : -1);
        cr_expect_null(algorithms_find(&read, n % 2 ? "card B" : "card A", call));
    }
    algorithms_set(&read, &(struct algorithm_row){ "card A", "call 1", "other", "name", 1 });
    struct digest changed = algorithms_digest(&read);
    cr_expect(!digest_equal(&left, &changed) && read.count == ROWS && read.changed);
    algorithms_release(&a);
    algorithms_release(&b);
    algorithms_release(&read);
    MUST(fs_remove_tree(dir, &err));
    arena_release(&arena);
}

static const char *const documents[] = {
    "{'pawl':'algorithms/2','rows':[]}",
    "{'pawl':'algorithms/1'}",
    "{'pawl':'algorithms/1','rows':{}}",
    "{'more':1,'pawl':'algorithms/1','rows':[]}",
    "{'pawl':'algorithms/1','rows':[1]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n'}]}",
    "{'pawl':'algorithms/1','rows':[{'call':'c','choice':'x','name':'n','nanoseconds':1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n',"
    "'nanoseconds':1.5}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n',"
    "'nanoseconds':-1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'','name':'n',"
    "'nanoseconds':1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x\\u0001','name':'n',"
    "'nanoseconds':1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n',"
    "'nanoseconds':1,'more':1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n',"
    "'nanoseconds':1},{'device':'d','call':'c','choice':'y','name':'n','nanoseconds':1}]}",
    "{'pawl':'algorithms/1','rows':[{'device':'d','call':'c','choice':'x','name':'n',"
    "'nanoseconds':1},{'device':'d','call':'b','choice':'y','name':'n','nanoseconds':1}]}",
};

Test(algorithm, a_document_of_another_form_is_refused_with_its_row)
{
    for (size_t d = 0; d < sizeof documents / sizeof *documents; d++) {
        struct err err = { 0 };
        struct algorithms table;
        struct arena arena = { 0 };
        json_t *document;
        char *text = arena_copy(&arena, documents[d]);
        for (char *c = text; *c; c++)
            if (*c == '\'') *c = '"';
        MUST(json_parse(&document, text, strlen(text), "a test", &err));
        algorithms_init(&table, "FILE");
        cr_expect_eq(algorithms_read(&table, document, &err), DAMAGED, "%s", text);
        cr_expect(strstr(err.message, "'FILE'"), "%s", err.message);
        cr_expect(d < 4 || strstr(err.message, d < 12 ? "row 0" : "row 1"), "%s", err.message);
        json_decref(document);
        algorithms_release(&table);
        arena_release(&arena);
    }
}

Test(algorithm, every_flip_and_every_cut_of_the_file_is_noticed)
{
    struct err err = { 0 };
    struct algorithms table;
    struct arena arena = { 0 };
    struct bytes bytes;
    char dir[64];
    folder(dir);
    const char *path = path_join(&arena, dir, "algorithms.json");
    algorithms_init(&table, path);
    algorithms_set(&table, &(struct algorithm_row){ "card A", "call", "choice", "name", 12 });
    algorithms_set(&table, &(struct algorithm_row){ "card B", "call", "choice", "name", -1 });
    MUST(algorithms_publish(&table, path, &err));
    MUST(fs_read(&arena, &bytes, path, 4096, &err));
    char *copy = arena_copy_len(&arena, bytes.at, bytes.len);
    for (size_t at = 0; at < 9 * bytes.len; at++) {
        struct algorithms read;
        size_t byte = at % bytes.len, len = at < bytes.len ? at : bytes.len;
        memcpy(copy, bytes.at, bytes.len);
        if (at >= bytes.len) copy[byte] = (char)(copy[byte] ^ 1 << (at / bytes.len - 1));
        MUST(fs_publish_view(path, copy, len, &err));
        algorithms_init(&read, path);
        cr_expect_eq(algorithms_load(&read, path, &err), DAMAGED, "%d", (int)at);
        algorithms_release(&read);
    }
    algorithms_release(&table);
    MUST(fs_remove_tree(dir, &err));
    arena_release(&arena);
}
