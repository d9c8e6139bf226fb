/* Makes call N of base/fs fail, or ends the process there: shared by tests and helper programs. */
#ifndef PAWL_TESTS_REGISTRY_SHARED_FAULTS_H
#define PAWL_TESTS_REGISTRY_SHARED_FAULTS_H

enum fault {
    FAULT_NONE,        /* only count */
    FAULT_ONCE,        /* call N fails, later ones work */
    FAULT_FOR_GOOD,    /* call N and all later ones fail */
    FAULT_KILL_BEFORE, /* the process ends instead of mutating call N */
    FAULT_KILL_AFTER,  /* the process ends right after mutating call N */
};

enum { FAULT_EXIT = 99 };

/* Replaces the call table; `at` counts from 1. Kills count mutating calls only, failures count
 * every call that can fail except close. faults_end restores the table and returns the calls
 * counted. */
void faults_begin(enum fault fault, int at);
int faults_end(void);

#endif
