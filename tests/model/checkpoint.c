/* Checkpoints: what was saved is what is opened; nothing half written is ever seen, whatever call
 * fails and wherever the process ends; every flipped bit and every cut is noticed before use. */
#include "model/checkpoint.h"
#include "tests/registry/shared_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

static const float weights[6] = { 0, 0.5f, 1, 1.5f, 2, 2.5f };
static const int64_t counts[2] = { -1, 7 };
static const uint16_t narrow = 0x3F80;
static float moments[301];

static const struct named_tensor params[] = {
    { "b.weight", DTYPE_F32, { 2, { 2, 3 } }, weights },
    { "a.bias", DTYPE_I64, { 1, { 2 } }, counts },
};
static const struct named_tensor states[] = { { "c", DTYPE_BF16, { 0, { 0 } }, &narrow } };
static const struct named_tensor slots[] = { { "b.weight", DTYPE_F32, { 1, { 301 } }, moments },
                                             { "none", DTYPE_U8, { 2, { 0, 4 } }, moments } };
static const struct tensor_group groups[] = { { "param", params, 2 },
                                              { "state", states, 1 },
                                              { "optimizer/m", slots, 2 } };

struct place {
    char dir[64], path[96];
    json_t *model, *trainer, *profile;
    struct checkpoint_contents contents;
};

static void open_place(struct place *place)
{
    snprintf(place->dir, sizeof place->dir, "%s/pawl-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(place->dir));
    snprintf(place->path, sizeof place->path, "%s/step-0000000001-0001", place->dir);
    for (int i = 0; i < 301; i++) moments[i] = (float)i / 7;
    place->model = json_pack("{s:s,s:s,s:i}", "pawl", "model/1", "task", "classification",
                             "outputs", 3);
    place->trainer = json_pack("{s:s,s:i,s:f}", "pawl", "trainer/1", "step", 12, "best", 0.1);
    place->profile = json_pack("{s:s,s:[i,i]}", "pawl", "profile/1", "counts", 3, 4);
    place->contents = (struct checkpoint_contents){ .groups = groups,
                                                    .group_count = 3,
                                                    .model = place->model,
                                                    .profile = place->profile,
                                                    .trainer = place->trainer,
                                                    .variant = WEIGHTS_RAW };
}

static void close_place(struct place *place)
{
    json_decref(place->model);
    json_decref(place->trainer);
    json_decref(place->profile);
    cr_expect_eq(fs_remove_tree(place->dir, NULL), OK);
}

static void in_place(const struct place *place, char path[160], const char *name)
{
    snprintf(path, 160, "%s/%s", place->path, name);
}

static void expect_equal(const struct checkpoint *checkpoint, const struct place *place)
{
    cr_assert_eq(checkpoint->group_count, 3);
    for (size_t g = 0; g < 3; g++) {
        const struct tensor_group *got = checkpoint_group(checkpoint, groups[g].name);
        cr_assert(got && got->count == groups[g].count, "%s", groups[g].name);
        for (size_t i = 0; i < got->count; i++) {
            size_t j = 0;
            while (strcmp(groups[g].tensors[j].name, got->tensors[i].name) != 0) j++;
            const struct named_tensor *want = &groups[g].tensors[j];
            cr_expect(got->tensors[i].dtype == want->dtype &&
                          shape_equal(&got->tensors[i].shape, &want->shape),
                      "%s", want->name);
            cr_expect_arr_eq(got->tensors[i].data, want->data,
                             (size_t)shape_count(&want->shape) * dtype_size(want->dtype), "%s",
                             want->name);
        }
    }
    cr_expect(json_equal(checkpoint->model, place->model) &&
              json_equal(checkpoint->trainer, place->trainer) &&
              json_equal(checkpoint->profile, place->profile));
}

Test(checkpoint, what_was_saved_is_what_is_opened_and_saving_again_gives_the_same_bytes)
{
    struct place place;
    struct err err = { 0 };
    struct checkpoint checkpoint;
    struct digest digest, first, second;
    char again[128], path[160];
    uint64_t bytes;
    open_place(&place);
    MUST(checkpoint_save(place.path, &place.contents, &digest, &bytes, &err));
    MUST(checkpoint_open(&checkpoint, place.path, &err));
    expect_equal(&checkpoint, &place);
    cr_expect(digest_equal(&digest, &checkpoint.model_digest));
    cr_expect_eq(checkpoint_tensor_bytes(&place.contents), 24 + 16 + 2 + 4 * 301);
    cr_expect(bytes > 24 + 16 + 2 + 4 * 301);
    checkpoint_close(&checkpoint);
    cr_expect_eq(checkpoint_save(place.path, &place.contents, NULL, NULL, &err), CONFLICT);

    snprintf(again, sizeof again, "%s/again", place.dir);
    MUST(checkpoint_save(again, &place.contents, NULL, NULL, &err));
    const char *const names[] = { "state.h5", "manifest.json" };
    for (int n = 0; n < 2; n++) {
        in_place(&place, path, names[n]);
        MUST(fs_digest(path, &first, NULL, &err));
        snprintf(path, sizeof path, "%s/%s", again, names[n]);
        MUST(fs_digest(path, &second, NULL, &err));
        cr_expect(digest_equal(&first, &second), "%s", names[n]);
    }
    close_place(&place);
}

/* The values were computed by another program (Python's hashlib and json) from the definition in
 * checkpoint.h. */
Test(checkpoint, model_digest_is_the_recorded_one_in_any_order_of_tensors)
{
    static const char *const recorded[] = {
        [WEIGHTS_RAW] = "sha256:b21249e1128ba25352632b59db1b4a61276ac6a98840706eca166eb9678850d3",
        [WEIGHTS_EMA] = "sha256:d194b1fcbcac06807b0f698fa7c6ebaf87bb9413627635b8839a64b74c994d2e",
    };
    struct place place;
    open_place(&place);
    for (int variant = 0; variant < 2; variant++) {
        for (int turn = 0; turn < 3; turn++) {
            struct named_tensor tensors[3] = { params[0], params[1], states[0] };
            struct named_tensor first = tensors[0];
            tensors[0] = tensors[turn];
            tensors[turn] = first;
            char text[DIGEST_TEXT];
            struct digest digest = model_digest(place.model, (enum weights_variant)variant, tensors,
                                                3);
            cr_expect_str_eq(digest_text(&digest, text), recorded[variant], "turn %d", turn);
        }
    }
    close_place(&place);
}

static void expect_damaged(const struct place *place, const char *what, const char *name, size_t at)
{
    struct err err = { 0 };
    struct checkpoint checkpoint;
    enum code code = checkpoint_open(&checkpoint, place->path, &err);
    cr_assert_eq(code, DAMAGED, "%s of %s at %zu: %s", what, name, at,
                 code ? err.message : "opened");
}

/* Flips and cuts in one file: `step` bytes apart. */
static void damage(const struct place *place, const char *name, size_t step)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    struct err err = { 0 };
    char path[160];
    in_place(place, path, name);
    MUST(fs_read(&arena, &bytes, path, 1 << 20, &err));
    char *copy = arena_copy_len(&arena, bytes.at, bytes.len);
    for (size_t at = 0; at < bytes.len; at += step) {
        copy[at] = (char)(bytes.at[at] ^ 1 << at % 8);
        MUST(fs_publish_view(path, copy, bytes.len, &err));
        expect_damaged(place, "a flipped bit", name, at);
        copy[at] = bytes.at[at];
    }
    for (size_t len = 0; len < bytes.len; len += step) {
        MUST(fs_publish_view(path, copy, len, &err));
        expect_damaged(place, "a cut", name, len);
    }
    MUST(fs_remove(path, &err));
    expect_damaged(place, "the absence", name, 0);
    MUST(fs_publish(path, bytes.at, bytes.len, &err));
    arena_release(&arena);
}

Test(checkpoint, every_flipped_bit_and_every_cut_is_noticed)
{
    static const struct {
        const char *name;
        size_t step;
    } files[] = { { "manifest.json", 1 },
                  { "model.json", 1 },
                  { "profile.json", 1 },
                  { "trainer.json", 1 },
                  { "state.h5", 7 } };
    struct place place;
    struct err err = { 0 };
    struct checkpoint checkpoint;
    open_place(&place);
    MUST(checkpoint_save(place.path, &place.contents, NULL, NULL, &err));
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        damage(&place, files[f].name, files[f].step);
    MUST(checkpoint_open(&checkpoint, place.path, &err));
    checkpoint_close(&checkpoint);
    close_place(&place);
}

/* Manifests with a right digest of their own that lie about the rest. */
Test(checkpoint, manifests_that_lie_are_refused)
{
    static const struct {
        const char *name, *map, *key, *value;
    } lies[] = {
        { "a tensor that is not there", "tensors", "param/ghost",
          "{\"dtype\":\"f32\",\"shape\":[2],\"digest\":\"x\"}" },
        { "another shape", "tensors", "param/b.weight", "{\"dtype\":\"f32\",\"shape\":[6,3]}" },
        { "another order", "tensors", "param/b.weight", "{\"dtype\":\"f32\",\"shape\":[3,2]}" },
        { "another type", "tensors", "param/b.weight", "{\"dtype\":\"i32\",\"shape\":[2,3]}" },
        { "an unknown type", "tensors", "param/b.weight", "{\"dtype\":\"f33\",\"shape\":[2,3]}" },
        { "a size below zero", "tensors", "param/b.weight", "{\"dtype\":\"f32\",\"shape\":[-2]}" },
        { "a size beyond memory", "tensors", "param/b.weight",
          "{\"dtype\":\"f32\",\"shape\":[4611686018427387904,4611686018427387904]}" },
        { "a size beyond the file", "tensors", "param/b.weight",
          "{\"dtype\":\"f32\",\"shape\":[1099511627776]}" },
        { "too many dimensions", "tensors", "param/b.weight",
          "{\"dtype\":\"f32\",\"shape\":[1,1,1,1,1,1,1,1,1,1]}" },
        { "a tensor without a group", "tensors", "lost", "{\"dtype\":\"f32\",\"shape\":[1]}" },
        { "a file elsewhere", "files", "../again/state.h5", "\"sha256:00\"" },
        { "no digest", "files", "state.h5", "\"sha256:00\"" },
        { "an unknown variant", NULL, "variant", "\"both\"" },
        { "another model digest", NULL, "model_digest",
          "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"" },
    };
    struct place place;
    struct err err = { 0 };
    char path[160];
    open_place(&place);
    MUST(checkpoint_save(place.path, &place.contents, NULL, NULL, &err));
    in_place(&place, path, "manifest.json");
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        json_t *manifest, *changed;
        MUST(json_read_checked(&manifest, path, 1 << 20, "checkpoint/1", &err));
        changed = json_deep_copy(manifest);
        json_object_set_new(lies[i].map ? json_object_get(changed, lies[i].map) : changed,
                            lies[i].key, json_loads(lies[i].value, JSON_DECODE_ANY, NULL));
        MUST(json_publish_checked(changed, path, &err));
        expect_damaged(&place, lies[i].name, "manifest.json", i);
        MUST(json_publish_checked(manifest, path, &err));
        json_decref(manifest);
        json_decref(changed);
    }
    close_place(&place);
}

/* Nothing but a whole checkpoint or none; hidden leftovers only where removing failed too. */
static bool is_whole(const struct place *place, int call)
{
    struct err err = { 0 };
    struct checkpoint checkpoint;
    if (!fs_exists(place->path)) return false;
    cr_assert_eq(checkpoint_open(&checkpoint, place->path, &err), OK, "call %d: %s", call,
                 err.message);
    expect_equal(&checkpoint, place);
    checkpoint_close(&checkpoint);
    return true;
}

static size_t names_in(const struct place *place)
{
    struct arena arena = { 0 };
    char **names;
    size_t count = 0;
    cr_assert_eq(fs_list(&arena, &names, &count, place->dir, NULL), OK);
    arena_release(&arena);
    return count;
}

Test(checkpoint, whatever_call_fails_nothing_half_is_seen_and_a_second_try_works, .timeout = 120)
{
    struct place place;
    open_place(&place);
    for (int kind = FAULT_ONCE; kind <= FAULT_FOR_GOOD; kind++) {
        int calls = 1, failed = 0;
        for (int at = 1; at <= calls; at++) {
            struct err err = { 0 };
            faults_begin((enum fault)kind, at);
            enum code code = checkpoint_save(place.path, &place.contents, NULL, NULL, &err);
            int counted = faults_end();
            if (at == 1) calls = 400; /* how many there are is known when no fault is met */
            bool whole = is_whole(&place, at);
            if (kind == FAULT_ONCE) cr_assert_eq(whole, code == OK, "call %d", at);
            if (code == OK) cr_assert(whole, "call %d", at);
            if (kind == FAULT_ONCE && code) cr_expect_leq(names_in(&place), 1, "call %d", at);
            failed += code != OK;
            if (code) cr_expect(*err.message, "call %d", at);
            if (!whole) MUST(checkpoint_save(place.path, &place.contents, NULL, NULL, &err));
            cr_assert(is_whole(&place, at));
            MUST(fs_remove_tree(place.path, &err));
            if (counted < at) break;
        }
        cr_expect_gt(failed, 30, "kind %d", kind);
    }
    close_place(&place);
}

Test(checkpoint, wherever_the_process_ends_there_is_a_whole_one_or_none, .timeout = 120)
{
    struct place place;
    struct err err = { 0 };
    open_place(&place);
    for (int kind = FAULT_KILL_BEFORE; kind <= FAULT_KILL_AFTER; kind++) {
        for (int at = 1, status = 1; status; at++) {
            pid_t child = fork();
            if (child == 0) {
                faults_begin((enum fault)kind, at);
                _exit(checkpoint_save(place.path, &place.contents, NULL, NULL, NULL) ? 1 : 0);
            }
            cr_assert(child > 0 && waitpid(child, &status, 0) == child);
            status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            cr_assert(status == 0 || status == FAULT_EXIT, "call %d: %d", at, status);
            bool whole = is_whole(&place, at);
            cr_assert(whole || status, "call %d", at);
            if (!whole) MUST(checkpoint_save(place.path, &place.contents, NULL, NULL, &err));
            MUST(fs_remove_tree(place.path, &err));
        }
    }
    close_place(&place);
}

Test(checkpoint, opening_fails_cleanly_whatever_call_fails)
{
    struct place place;
    struct err err = { 0 };
    struct checkpoint checkpoint;
    open_place(&place);
    MUST(checkpoint_save(place.path, &place.contents, NULL, NULL, &err));
    for (int at = 1, counted = 1; at <= counted; at++) {
        faults_begin(FAULT_ONCE, at);
        enum code code = checkpoint_open(&checkpoint, place.path, &err);
        counted = faults_end();
        if (!code) checkpoint_close(&checkpoint);
        cr_expect(code || at > counted, "call %d has no effect", at);
    }
    memory_fail_after(1);
    cr_expect_eq(checkpoint_open(&checkpoint, place.path, &err), NO_MEMORY);
    memory_fail_after(0);
    close_place(&place);
}
