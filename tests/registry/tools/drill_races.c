/* Promoters as processes that start together, round after round. No lock is taken anywhere (the
 * registry never calls flock), so nothing but link(2) can decide. */
#include "tests/registry/tools/drill.h"

#include "base/rng.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, ROUNDS_EACH = 50 };

/* In memory that all share. */
struct shared {
    pthread_barrier_t barrier;
    enum code codes[MOST];
    int64_t seqs[MOST];
    bool changed[MOST];
    int wrong, winners;
    int64_t last; /* the winner's entry of the round before */
};

static int pause_us;

static int slow_link(const char *from, const char *to)
{
    usleep((useconds_t)pause_us);
    return fs_calls_real.link(from, to);
}

/* Sees what the channel holds; when all have seen it, each wants another version. */
static void race_once(struct registry *registry, struct shared *shared, int racer, int slow,
                      uint64_t seed)
{
    struct resolved seen;
    struct moved moved = { 0 };
    struct err err;
    enum code code = registry_resolve(registry, &seen, "fashion@production", &err);
    struct move_opts opts = { .model = "fashion",
                              .channel = "production",
                              .number = 1 + (seen.number + racer % 2) % 3,
                              .from = seen.number,
                              .actor = "racer",
                              .reason = "race" };
    pthread_barrier_wait(&shared->barrier);
    if (racer == slow) {
        pause_us = (int)(philox4x32(seed, 9, 0).word[0] % 4000);
        fs_calls.link = slow_link;
    }
    if (!code) code = registry_promote(registry, &moved, &opts, &err);
    fs_calls.link = fs_calls_real.link;
    shared->codes[racer] = code;
    shared->seqs[racer] = moved.seq;
    shared->changed[racer] = !moved.unchanged;
    pthread_barrier_wait(&shared->barrier);
}

static void judge(struct shared *shared, int racers)
{
    int winners = 0;
    for (int i = 0; i < racers; i++) {
        if (shared->codes[i] != OK && shared->codes[i] != CONFLICT) {
            printf("WRONG: a racer ended with %s\n", code_text(shared->codes[i]));
            shared->wrong++;
        }
        if (shared->codes[i]) continue;
        winners++;
        if (!shared->changed[i] || shared->seqs[i] != shared->last + 1) shared->wrong++;
    }
    for (int i = 0; i < racers; i++)
        if (!shared->codes[i]) shared->last = shared->seqs[i];
    if (winners != 1) {
        printf("WRONG: %d of %d racers won\n", winners, racers);
        shared->wrong++;
    }
    shared->winners += winners;
}

static void racer_main(struct shared *shared, const char *path, int racer, int racers, int rounds,
                       uint64_t seed)
{
    struct registry registry;
    struct err err;
    fs_calls.fsync = support_no_fsync;
    if (registry_open(&registry, path, &err)) _exit(1);
    for (int r = 0; r < rounds; r++) {
        uint64_t mixed = seed * 1000 + (uint64_t)r;
        int slow = (int)(philox4x32(mixed, 1, 0).word[0] % (uint32_t)(racers + 2));
        pthread_barrier_wait(&shared->barrier);
        race_once(&registry, shared, racer, slow, mixed);
        if (racer == 0) judge(shared, racers);
    }
    registry_close(&registry);
    _exit(0);
}

/* A batch of rounds on a fresh registry; what is wrong is returned, *won counts the winners. */
static int batch(const char *work, int racers, int rounds, uint64_t seed, int *won)
{
    struct arena arena = { 0 };
    struct err err;
    struct registry registry;
    struct added added;
    struct moved moved;
    json_t *result = NULL;
    pthread_barrierattr_t attributes;
    const char *path = path_join(&arena, work, "registry");
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fs_calls.fsync = support_no_fsync;
    REQUIRE(shared != MAP_FAILED && registry_init(path, "founder", "to race", &err) == OK);
    REQUIRE(registry_open(&registry, path, &err) == OK);
    for (int i = 1; i <= 3; i++) {
        REQUIRE(support_add(&registry, &added, work, "fashion", i, &err) == OK);
        REQUIRE(support_report(&registry, NULL, work, "fashion", i, "suite", "pass", &err) == OK);
    }
    REQUIRE(support_promote(&registry, &moved, "fashion", 1, "production", &err) == OK);
    shared->last = moved.seq;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, (unsigned)racers);
    fflush(stdout);
    for (int i = 0; i < racers; i++)
        if (fork() == 0) racer_main(shared, path, i, racers, rounds, seed);
    int wrong = 0, status;
    for (int i = 0; i < racers; i++)
        wrong += wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status);
    if (registry_verify(path, &result, NULL, &err)) {
        printf("WRONG: %s\n", err.message);
        wrong++;
    }
    json_decref(result);
    REQUIRE(registry_refresh(&registry, &err) == OK);
    const struct model_line *model = state_model(&registry.state, "fashion");
    wrong += shared->wrong;
    wrong += model_channel(model, "production")->count != (size_t)rounds + 1;
    *won += shared->winners;
    registry_close(&registry);
    fs_remove_tree(path, NULL);
    munmap(shared, sizeof *shared);
    arena_release(&arena);
    return wrong;
}

int drill_races(const char *work, int races, uint64_t seed)
{
    int done = 0, found = 0, won = 0, fewest = MOST, most = 0;
    for (uint64_t b = 0; done < races; b++) {
        int racers = 2 + (int)(philox4x32(seed, b, 0).word[0] % (MOST - 1));
        int rounds = races - done < ROUNDS_EACH ? races - done : ROUNDS_EACH;
        found += batch(work, racers, rounds, seed + b, &won);
        done += rounds;
        if (racers < fewest) fewest = racers;
        if (racers > most) most = racers;
    }
    printf("races      %5d with %d to %d promoters, %d winners, %d wrong\n", done, fewest, most,
           won, found);
    return found;
}
