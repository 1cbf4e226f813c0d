/* What C sees of the interface: every call of both element types, and what is said of wrong ones. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trine.h"

static int passed, failures;

#define CHECK(what) check((what) != 0, #what, __LINE__)

static void check(int right, const char *what, int line)
{
    if (right) {
        passed++;
    } else {
        failures++;
        printf("check.c:%d: %s; message: %s\n", line, what, trine_message());
    }
}

/* One layer of one type: 3×2 times 2×4, all numbers small and whole, so that every result is exact. W is the
 * transpose of a 4×2 matrix, ∇X lies between the columns of a wider one. */
#define LAYER(TYPE, NAME)                                                                              \
    static void layer_##NAME(trine_engine *engine)                                                    \
    {                                                                                                  \
        const TYPE x[6] = { 1, 2, 3, 4, 5, 6 }, w[8] = { 1, -1, 2, 0, 0, 1, -3, 2 };                   \
        const TYPE bias[4] = { 1, 0, -1, 0 }, dy[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };         \
        const TYPE expected[12] = { 0, 2, 1, 1, 0, 6, 3, 0, 0, 10, 5, 0 };                             \
        TYPE y[12], wide[15], dw[8], db[4] = { 1, 1, 1, 1 }, c[12];                                    \
        trine_in_##NAME wt = { NULL, 8, 2, 4, 1, 2 };                                                  \
        trine_forward_args_##NAME f;                                                                   \
        trine_backward_args_##NAME b;                                                                  \
        trine_step_args_##NAME s;                                                                      \
        trine_gemm_args_##NAME g;                                                                      \
        TYPE stepped[8], stepped_bias[4] = { 0, 0, 0, 0 };                                             \
        int i, equal;                                                                                  \
        wt.data = w;                                                                                   \
        memset(&f, 0, sizeof f);                                                                       \
        memset(&b, 0, sizeof b);                                                                       \
        memset(&s, 0, sizeof s);                                                                       \
        memset(&g, 0, sizeof g);                                                                       \
        f.x = trine_rows_##NAME(x, 6, 3, 2, 2);                                                        \
        f.w = wt;                                                                                      \
        f.bias = bias;                                                                                 \
        f.bias_len = 4;                                                                                \
        f.activation = TRINE_ACTIVATION_RELU;                                                          \
        f.y = trine_out_rows_##NAME(y, 12, 3, 4, 4);                                                   \
        CHECK(trine_forward_##NAME(engine, &f) == TRINE_STATUS_OK);                                    \
        for (equal = 1, i = 0; i < 12; i++)                                                            \
            equal &= y[i] == expected[i];                                                              \
        CHECK(equal);                                                                                  \
        for (i = 0; i < 15; i++)                                                                       \
            wide[i] = 7;                                                                               \
        b.x = f.x;                                                                                     \
        b.w = wt;                                                                                      \
        b.dy = trine_rows_##NAME(dy, 12, 3, 4, 4);                                                     \
        b.saved = trine_rows_##NAME(y, 12, 3, 4, 4);                                                   \
        b.activation = TRINE_ACTIVATION_RELU;                                                          \
        b.dx = trine_out_rows_##NAME(wide + 1, 14, 3, 2, 5);                                           \
        b.dw = trine_out_rows_##NAME(dw, 8, 2, 4, 4);                                                  \
        b.db = db;                                                                                     \
        b.db_len = 4;                                                                                  \
        b.params_write = TRINE_WRITE_REPLACE;                                                          \
        CHECK(trine_backward_##NAME(engine, &b) == TRINE_STATUS_OK);                                   \
        CHECK(wide[0] == 7 && wide[1] == -1 && wide[2] == 3 && wide[3] == 7 && wide[6] == 2);          \
        CHECK(dw[0] == 0 && dw[1] == 9 && dw[3] == 1 && dw[5] == 12 && dw[7] == 2);                    \
        CHECK(db[0] == 0 && db[1] == 3 && db[2] == 3 && db[3] == 1);                                   \
        memset(&b.dx, 0, sizeof b.dx);                                                                 \
        memset(&b.dw, 0, sizeof b.dw);                                                                 \
        b.params_write = TRINE_WRITE_ADD;                                                              \
        CHECK(trine_backward_##NAME(engine, &b) == TRINE_STATUS_OK);                                   \
        CHECK(db[0] == 0 && db[1] == 6 && db[3] == 2);                                                 \
        for (i = 0; i < 8; i++)                                                                        \
            stepped[i] = 1;                                                                            \
        s.x = f.x;                                                                                     \
        s.w = trine_out_rows_##NAME(stepped, 8, 2, 4, 4);                                              \
        s.bias = stepped_bias;                                                                         \
        s.bias_len = 4;                                                                                \
        s.dy = b.dy;                                                                                   \
        s.saved = b.saved;                                                                             \
        s.activation = TRINE_ACTIVATION_RELU;                                                          \
        s.lr = (TYPE)0.5;                                                                              \
        CHECK(trine_step_##NAME(engine, &s) == TRINE_STATUS_OK);                                       \
        CHECK(stepped[0] == 1 && stepped[1] == (TYPE)-3.5 && stepped_bias[1] == (TYPE)-1.5);           \
        for (i = 0; i < 12; i++)                                                                       \
            c[i] = 1;                                                                                  \
        g.a = f.x;                                                                                     \
        g.b = wt;                                                                                      \
        g.c = trine_out_rows_##NAME(c, 12, 3, 4, 4);                                                   \
        g.alpha = 2;                                                                                   \
        g.write = TRINE_WRITE_ADD;                                                                     \
        CHECK(trine_gemm_##NAME(engine, &g) == TRINE_STATUS_OK);                                       \
        CHECK(c[0] == -1 && c[1] == 5 && c[2] == 5 && c[11] == -5);                                    \
        g.b.len = 7;                                                                                   \
        CHECK(trine_gemm_##NAME(engine, &g) == TRINE_STATUS_TOO_SHORT);                                \
        CHECK(strcmp(trine_message(), "b needs 8 values, but has 7") == 0);                            \
        g.b = g.a;                                                                                     \
        CHECK(trine_gemm_##NAME(engine, &g) == TRINE_STATUS_SHAPE);                                    \
        CHECK(strcmp(trine_message(), "b has 3 rows, but a has 2 columns") == 0);                      \
        CHECK(c[0] == -1 && c[11] == -5);                                                              \
    }

LAYER(float, f32)
LAYER(double, f64)

int main(void)
{
    static unsigned char memory[65536];
    trine_engine *engine = NULL;
    trine_forward_args_f32 nothing;
    int32_t isas[8];
    size_t i, count = trine_isa_list(isas, 8);
    CHECK(count >= 1 && count <= 8);
    for (i = 0; i < count && i < 8; i++) {
        CHECK(trine_isa_available(isas[i]) == 1);
        CHECK(trine_engine_new(isas[i], 2, &engine) == TRINE_STATUS_OK);
        CHECK(trine_engine_isa(engine) == isas[i] && trine_engine_threads(engine) == 2);
        layer_f32(engine);
        layer_f64(engine);
        trine_engine_free(engine);
        CHECK(trine_engine_in(isas[i], memory + 1, sizeof memory - 1, &engine) == TRINE_STATUS_OK);
        layer_f32(engine);
        layer_f64(engine);
        trine_engine_free(engine);
    }
    CHECK(trine_engine_new(77, 1, &engine) == TRINE_STATUS_VALUE && engine == NULL);
    CHECK(strcmp(trine_message(), "isa is 77, which is no constant of trine.h") == 0);
    CHECK(trine_engine_in(TRINE_ISA_BEST, memory, 10, &engine) == TRINE_STATUS_SCRATCH && engine == NULL);
    memset(&nothing, 0, sizeof nothing);
    CHECK(trine_forward_f32(NULL, &nothing) == TRINE_STATUS_NULL);
    CHECK(strcmp(trine_message(), "engine is null") == 0);
    CHECK(strcmp(trine_status_text(TRINE_STATUS_NULL), "a pointer is null") == 0);
    CHECK(atoi(trine_version()) == TRINE_VERSION_MAJOR);
    trine_engine_free(NULL);
    printf("%d passed, %d failed\n", passed, failures);
    return failures != 0;
}
