/* Trains two layers, 64 -> 32 -> 10, on handwritten digits, with the C interface and nothing else. Reads lines
 * of 64 pixels (0 to 16) and a digit; prints the accuracy on the last 360 of them and a hash of the weights,
 * which kernels/capi/examples/twin.rs computes too, with the Rust interface.
 *
 *     gunzip -c ../../bench/data/digits.csv.gz | ./train [--static] [--isa NAME]
 *
 * --static: the engine works in an array of this program's, and nothing is allocated at all. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "trine.h"

enum { PIXELS = 64, HIDDEN = 32, CLASSES = 10, MOST = 2000, TEST = 360, BATCH = 32, EPOCHS = 60 };

static const float RATE = 0.25f;

static float images[MOST][PIXELS];
static int labels[MOST];

static float w1[PIXELS * HIDDEN], b1[HIDDEN], dw1[PIXELS * HIDDEN], db1[HIDDEN];
static float w2[HIDDEN * CLASSES], b2[CLASSES];
static float hidden[MOST * HIDDEN], dhidden[BATCH * HIDDEN], y[MOST * CLASSES], dy[BATCH * CLASSES];

static int failed(const char *what, trine_status status)
{
    if (status != TRINE_STATUS_OK)
        fprintf(stderr, "%s: %s: %s\n", what, trine_status_text(status), trine_message());
    return status != TRINE_STATUS_OK;
}

static int read_digits(void)
{
    int n;
    for (n = 0; n < MOST; n++) {
        int j, pixel;
        for (j = 0; j < PIXELS; j++) {
            if (scanf("%d,", &pixel) != 1)
                return j == 0 ? n : -1;
            images[n][j] = (float)pixel * 0.0625f;
        }
        if (scanf("%d", &labels[n]) != 1 || labels[n] < 0 || labels[n] >= CLASSES)
            return -1;
    }
    return n;
}

/* Numbers from -1/8 to 1/8, exact: a linear congruence (W. Press et al., Numerical Recipes), its upper 24 bits. */
static void begin(float *w, size_t len, uint32_t seed)
{
    size_t i;
    for (i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        w[i] = ((float)(seed >> 8) * (1.0f / 16777216.0f) - 0.5f) * 0.25f;
    }
}

/* Both layers forward for some rows of images. */
static int forward(trine_engine *engine, size_t from, size_t n)
{
    trine_forward_args_f32 call = { 0 };
    call.x = trine_rows_f32(images[from], (MOST - from) * PIXELS, n, PIXELS, PIXELS);
    call.w = trine_rows_f32(w1, PIXELS * HIDDEN, PIXELS, HIDDEN, HIDDEN);
    call.bias = b1;
    call.bias_len = HIDDEN;
    call.activation = TRINE_ACTIVATION_RELU;
    call.y = trine_out_rows_f32(hidden, MOST * HIDDEN, n, HIDDEN, HIDDEN);
    if (failed("first layer", trine_forward_f32(engine, &call)))
        return 1;
    call.x = trine_rows_f32(hidden, MOST * HIDDEN, n, HIDDEN, HIDDEN);
    call.w = trine_rows_f32(w2, HIDDEN * CLASSES, HIDDEN, CLASSES, CLASSES);
    call.bias = b2;
    call.bias_len = CLASSES;
    call.activation = TRINE_ACTIVATION_IDENTITY;
    call.y = trine_out_rows_f32(y, MOST * CLASSES, n, CLASSES, CLASSES);
    return failed("second layer", trine_forward_f32(engine, &call));
}

/* Half of the squared distance to the digit's own unit vector, mean over the batch. The second layer steps in
 * place; the first one's gradients have memory of their own. */
static int step(trine_engine *engine, size_t from)
{
    trine_step_args_f32 second = { 0 };
    trine_backward_args_f32 first = { 0 };
    size_t i, j;
    for (i = 0; i < BATCH; i++)
        for (j = 0; j < CLASSES; j++) {
            float target = labels[from + i] == (int)j ? 1.0f : 0.0f;
            dy[i * CLASSES + j] = (y[i * CLASSES + j] - target) * (1.0f / BATCH);
        }
    second.x = trine_rows_f32(hidden, MOST * HIDDEN, BATCH, HIDDEN, HIDDEN);
    second.w = trine_out_rows_f32(w2, HIDDEN * CLASSES, HIDDEN, CLASSES, CLASSES);
    second.bias = b2;
    second.bias_len = CLASSES;
    second.dy = trine_rows_f32(dy, BATCH * CLASSES, BATCH, CLASSES, CLASSES);
    second.dx = trine_out_rows_f32(dhidden, BATCH * HIDDEN, BATCH, HIDDEN, HIDDEN);
    second.lr = RATE;
    if (failed("step of the second layer", trine_step_f32(engine, &second)))
        return 1;
    first.x = trine_rows_f32(images[from], BATCH * PIXELS, BATCH, PIXELS, PIXELS);
    first.w = trine_rows_f32(w1, PIXELS * HIDDEN, PIXELS, HIDDEN, HIDDEN);
    first.dy = trine_rows_f32(dhidden, BATCH * HIDDEN, BATCH, HIDDEN, HIDDEN);
    first.saved = trine_rows_f32(hidden, MOST * HIDDEN, BATCH, HIDDEN, HIDDEN);
    first.activation = TRINE_ACTIVATION_RELU;
    first.dw = trine_out_rows_f32(dw1, PIXELS * HIDDEN, PIXELS, HIDDEN, HIDDEN);
    first.db = db1;
    first.db_len = HIDDEN;
    if (failed("gradients of the first layer", trine_backward_f32(engine, &first)))
        return 1;
    for (i = 0; i < PIXELS * HIDDEN; i++) {
        float change = RATE * dw1[i];
        w1[i] -= change;
    }
    for (i = 0; i < HIDDEN; i++) {
        float change = RATE * db1[i];
        b1[i] -= change;
    }
    return 0;
}

/* FNV-1a over the little-endian bytes of every value's bits. */
static uint64_t hash(uint64_t h, const float *values, size_t len)
{
    size_t i;
    int shift;
    for (i = 0; i < len; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (shift = 0; shift < 32; shift += 8)
            h = (h ^ (bits >> shift & 0xff)) * UINT64_C(0x100000001b3);
    }
    return h;
}

static int train(trine_engine *engine, size_t n)
{
    size_t epoch, from, i, j, right = 0;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    begin(w1, PIXELS * HIDDEN, 1);
    begin(w2, HIDDEN * CLASSES, 2);
    for (epoch = 0; epoch < EPOCHS; epoch++)
        for (from = 0; from + BATCH <= n - TEST; from += BATCH)
            if (forward(engine, from, BATCH) || step(engine, from))
                return 1;
    if (forward(engine, n - TEST, TEST))
        return 1;
    for (i = 0; i < TEST; i++) {
        size_t best = 0;
        for (j = 1; j < CLASSES; j++)
            if (y[i * CLASSES + j] > y[i * CLASSES + best])
                best = j;
        right += labels[n - TEST + i] == (int)best;
    }
    h = hash(hash(hash(hash(h, w1, PIXELS * HIDDEN), b1, HIDDEN), w2, HIDDEN * CLASSES), b2, CLASSES);
    printf("accuracy   %.1f %% of the test set (%u of %d) on %s\n", 100.0 * (double)right / TEST, (unsigned)right, TEST,
           trine_isa_name(trine_engine_isa(engine)));
    printf("weights    %08lx%08lx (FNV-1a)\n", (unsigned long)(h >> 32), (unsigned long)(h & 0xffffffff));
    return 0;
}

int main(int argc, char **argv)
{
    static unsigned char memory[1 << 20];
    trine_engine *engine = NULL;
    trine_status status;
    int32_t isa = TRINE_ISA_BEST;
    int i, n, result, in_place = 0;
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--static") == 0)
            in_place = 1;
        else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            isa = trine_isa_named(argv[++i]);
        else {
            fprintf(stderr, "usage: %s [--static] [--isa NAME]\n", argv[0]);
            return 2;
        }
    }
    n = read_digits();
    if (n <= TEST + BATCH) {
        fprintf(stderr, "no digits on standard input\n");
        return 1;
    }
    if (in_place) {
        size_t forward_size = trine_scratch_size(isa, TRINE_ELEMENT_F32, TRINE_OP_FORWARD, TEST, PIXELS, HIDDEN);
        size_t backward_size = trine_scratch_size(isa, TRINE_ELEMENT_F32, TRINE_OP_BACKWARD, BATCH, PIXELS, HIDDEN);
        printf("memory     forward %lu bytes, backward %lu\n", (unsigned long)forward_size, (unsigned long)backward_size);
        status = trine_engine_in(isa, memory, sizeof memory, &engine);
    } else
        status = trine_engine_new(isa, 1, &engine);
    if (failed("engine", status))
        return 1;
    result = train(engine, (size_t)n);
    trine_engine_free(engine);
    return result;
}
