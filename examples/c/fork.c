/* An engine with threads in a process that forks: they are not in the child, which has to compute the same bits
 * alone, may free the engine, and may have another one with threads of its own. cblas_sgemm likewise. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trine.h"

enum { SIDE = 192, SIZE = SIDE * SIDE, ROUNDS = 20 };

void cblas_sgemm(int layout, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);

static float a[SIZE], b[SIZE], expected[SIZE], found[SIZE];

static int multiply(trine_engine *engine, float *c)
{
    trine_gemm_args_f32 call;
    memset(&call, 0, sizeof call);
    call.a = trine_rows_f32(a, SIZE, SIDE, SIDE, SIDE);
    call.b = trine_rows_f32(b, SIZE, SIDE, SIDE, SIDE);
    call.c = trine_out_rows_f32(c, SIZE, SIDE, SIDE, SIDE);
    call.alpha = 1;
    call.write = TRINE_WRITE_REPLACE;
    return trine_gemm_f32(engine, &call) == TRINE_STATUS_OK;
}

static int same(void)
{
    return memcmp(found, expected, sizeof found) == 0;
}

/* What the child does: 0, or the number of what went wrong. */
static int child(trine_engine *engine)
{
    trine_engine *own = NULL;
    int i;
    for (i = 0; i < ROUNDS; i++) {
        memset(found, 0, sizeof found);
        if (!multiply(engine, found) || !same())
            return 1;
        memset(found, 0, sizeof found);
        cblas_sgemm(101, 111, 111, SIDE, SIDE, SIDE, 1, a, SIDE, b, SIDE, 0, found, SIDE);
        if (!same())
            return 2;
    }
    trine_engine_free(engine);
    if (trine_engine_new(TRINE_ISA_ENVIRONMENT, 2, &own) != TRINE_STATUS_OK || trine_engine_threads(own) != 2)
        return 3;
    memset(found, 0, sizeof found);
    if (!multiply(own, found) || !same())
        return 4;
    trine_engine_free(own);
    return 0;
}

int main(void)
{
    /* How long the threads have been idle: they spin, then sleep. */
    const long idle[4] = { 0, 20000, 200000, 20000000 };
    int passed = 0, failures = 0, status, i;
    trine_engine *engine = NULL;
    for (i = 0; i < SIZE; i++) {
        a[i] = (float)(i * 7 % 31 - 15) / 16;
        b[i] = (float)(i * 11 % 29 - 14) / 13;
    }
    setenv("TRINE_THREADS", "2", 1);
    if (trine_engine_new(TRINE_ISA_ENVIRONMENT, 2, &engine) != TRINE_STATUS_OK) {
        printf("%s\n", trine_message());
        return 1;
    }
    for (i = 0; i < 4; i++) {
        struct timespec pause = { 0, 0 };
        pid_t process;
        pause.tv_nsec = idle[i];
        if (!multiply(engine, expected)) {
            printf("%s\n", trine_message());
            return 1;
        }
        cblas_sgemm(101, 111, 111, SIDE, SIDE, SIDE, 1, a, SIDE, b, SIDE, 0, found, SIDE);
        nanosleep(&pause, NULL);
        process = fork();
        if (process == 0) {
            alarm(60);
            _exit(child(engine));
        }
        if (process > 0 && waitpid(process, &status, 0) == process && status == 0 && same() &&
            multiply(engine, found) && same()) {
            passed++;
        } else {
            failures++;
            printf("fork.c: %ld ns after a call: the child ended with %d (signal %d)\n", idle[i],
                   WEXITSTATUS(status), WTERMSIG(status));
        }
    }
    trine_engine_free(engine);
    printf("%d passed, %d failed\n", passed, failures);
    return failures != 0;
}
