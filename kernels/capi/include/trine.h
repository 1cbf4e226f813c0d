/* trine: the linear layer of a neural network on the CPU, forward and backward, with one defined answer.
 *
 *     Y  = act(X·W + b)          X n×d   W d×m   b m   Y n×m
 *     ∇Z = ∇Y ⊙ act'(·)          n×m
 *     ∇X = ∇Z·Wᵀ                 n×d, sums over m
 *     ∇W = Xᵀ·∇Z                 d×m, sums over n (the batch)
 *     ∇b = 1ᵀ·∇Z                 m,   sums over n
 *
 * Results are the same bits for any strides, batch and number of threads, on every instruction set of one
 * rounding.
 *
 * Functions return a trine_status; on an error nothing has been written to an output, and trine_message
 * says what was wrong. Fields of a call that are zero are operands that are not given. No call keeps a
 * pointer to an operand.
 *
 * Threads: an engine is used by one thread at a time. All else may be called from any thread at any time.
 *
 * Made by cbindgen from kernels/capi: do not edit.
 */

#ifndef TRINE_H
#define TRINE_H

#include <stddef.h>
#include <stdint.h>

// Version of this library, major.
#define TRINE_VERSION_MAJOR 0

// Version of this library, minor.
#define TRINE_VERSION_MINOR 1

// Version of this library, patch.
#define TRINE_VERSION_PATCH 0

// What a call returns.
enum trine_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Done.
    TRINE_STATUS_OK = 0,
    // A pointer is null.
    TRINE_STATUS_NULL = 1,
    // A pointer is not a multiple of the element's size.
    TRINE_STATUS_MISALIGNED = 2,
    // A matrix reaches beyond its number of elements.
    TRINE_STATUS_TOO_SHORT = 3,
    // A matrix, or scratch memory, reaches beyond the address space.
    TRINE_STATUS_TOO_LARGE = 4,
    // Two elements of an output would be in one place.
    TRINE_STATUS_OVERLAP = 5,
    // An output and another operand are in one place.
    TRINE_STATUS_ALIASED = 6,
    // Two operands do not agree.
    TRINE_STATUS_SHAPE = 7,
    // An operand is needed and was not given.
    TRINE_STATUS_MISSING = 8,
    // A number is outside its domain.
    TRINE_STATUS_VALUE = 9,
    // The memory of the engine is too small.
    TRINE_STATUS_SCRATCH = 10,
    // This machine does not have the instruction set.
    TRINE_STATUS_ISA = 11,
    // There is no memory, or there are no threads, for a new engine.
    TRINE_STATUS_RESOURCES = 12,
    // A mistake in the library itself; outputs may have been written.
    TRINE_STATUS_INTERNAL = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_status trine_status;
#else
typedef int32_t trine_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Instruction sets. The numbers stay as they are.
enum trine_isa
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The one that the environment variable TRINE_ISA names, else the best.
    TRINE_ISA_ENVIRONMENT = -1,
    // The best of this machine.
    TRINE_ISA_BEST = 0,
    // One value at a time, on any machine.
    TRINE_ISA_PORTABLE = 1,
    // x86-64, any.
    TRINE_ISA_SSE2 = 2,
    // x86-64 with AVX2 and FMA.
    TRINE_ISA_AVX2 = 3,
    // x86-64 with AVX-512 F, BW, CD, DQ and VL.
    TRINE_ISA_AVX512 = 4,
    // aarch64.
    TRINE_ISA_NEON = 5,
    // WebAssembly with simd128.
    TRINE_ISA_SIMD128 = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_isa trine_isa;
#else
typedef int32_t trine_isa;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Types of elements.
enum trine_element
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // float
    TRINE_ELEMENT_F32 = 0,
    // double
    TRINE_ELEMENT_F64 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_element trine_element;
#else
typedef int32_t trine_element;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an engine is asked to do, for the length of its memory.
enum trine_op
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // trine_forward
    TRINE_OP_FORWARD = 0,
    // trine_backward
    TRINE_OP_BACKWARD = 1,
    // trine_step
    TRINE_OP_STEP = 2,
    // trine_gemm, n×d times d×m
    TRINE_OP_GEMM = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_op trine_op;
#else
typedef int32_t trine_op;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What stands between `Z = X·W + b` and `Y = act(Z)`, and what backward needs of forward (`saved`).
enum trine_activation
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Y = Z; saved: nothing.
    TRINE_ACTIVATION_IDENTITY = 0,
    // max(z, 0); saved: Y.
    TRINE_ACTIVATION_RELU = 1,
    // z if positive, else slope·z; saved: Y.
    TRINE_ACTIVATION_LEAKY_RELU = 2,
    // 1/(1 + e^−z); saved: Y.
    TRINE_ACTIVATION_SIGMOID = 3,
    // Hyperbolic tangent; saved: Y.
    TRINE_ACTIVATION_TANH = 4,
    // z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³))); saved: Z.
    TRINE_ACTIVATION_GELU = 5,
    // z·sigmoid(z); saved: Z.
    TRINE_ACTIVATION_SILU = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_activation trine_activation;
#else
typedef int32_t trine_activation;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a result meets what is already there.
enum trine_write
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It takes its place; what was there is never read.
    TRINE_WRITE_REPLACE = 0,
    // It is added: gradient accumulation.
    TRINE_WRITE_ADD = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum trine_write trine_write;
#else
typedef int32_t trine_write;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Computes layers on one instruction set. Used by one thread at a time; several engines are independent of
// each other.
typedef struct trine_engine trine_engine;

// A matrix that is read: element (i, j) is `data[i·row_stride + j·col_stride]`. Strides are in elements; a
// stride of 0 repeats a row or column. The transpose is the same with rows and columns exchanged, sides
// and strides. `data` may be null if there are no elements. All zero: the operand is not given.
typedef struct trine_in_f32 {
    // The first element.
    const float *data;
    // Elements at `data`, or TRINE_ANY.
    size_t len;
    // Rows.
    size_t rows;
    // Columns.
    size_t cols;
    // Distance from one row to the next.
    size_t row_stride;
    // Distance from one column to the next.
    size_t col_stride;
} trine_in_f32;

// A matrix that is written. No two of its elements may be in one place, none in that of another operand:
// what lies between its elements is left alone, and other operands may be there if they have the same
// strides, one of which is 1.
typedef struct trine_out_f32 {
    // The first element.
    float *data;
    // Elements at `data`, or TRINE_ANY.
    size_t len;
    // Rows.
    size_t rows;
    // Columns.
    size_t cols;
    // Distance from one row to the next.
    size_t row_stride;
    // Distance from one column to the next.
    size_t col_stride;
} trine_out_f32;

// Operands of a forward pass: `Y = act(X·W + b)`.
typedef struct trine_forward_args_f32 {
    // Input, n×d.
    struct trine_in_f32 x;
    // Weights, d×m.
    struct trine_in_f32 w;
    // Bias, or null.
    const float *bias;
    // Values of the bias: m, or 0.
    size_t bias_len;
    // A trine_activation.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU, positive and finite.
    float slope;
    // Output, n×m.
    struct trine_out_f32 y;
    // Where Z goes, n×m, if backward will need it; may be left out.
    struct trine_out_f32 z;
} trine_forward_args_f32;

// A matrix that is read: element (i, j) is `data[i·row_stride + j·col_stride]`. Strides are in elements; a
// stride of 0 repeats a row or column. The transpose is the same with rows and columns exchanged, sides
// and strides. `data` may be null if there are no elements. All zero: the operand is not given.
typedef struct trine_in_f64 {
    // The first element.
    const double *data;
    // Elements at `data`, or TRINE_ANY.
    size_t len;
    // Rows.
    size_t rows;
    // Columns.
    size_t cols;
    // Distance from one row to the next.
    size_t row_stride;
    // Distance from one column to the next.
    size_t col_stride;
} trine_in_f64;

// A matrix that is written. No two of its elements may be in one place, none in that of another operand:
// what lies between its elements is left alone, and other operands may be there if they have the same
// strides, one of which is 1.
typedef struct trine_out_f64 {
    // The first element.
    double *data;
    // Elements at `data`, or TRINE_ANY.
    size_t len;
    // Rows.
    size_t rows;
    // Columns.
    size_t cols;
    // Distance from one row to the next.
    size_t row_stride;
    // Distance from one column to the next.
    size_t col_stride;
} trine_out_f64;

// Operands of a forward pass: `Y = act(X·W + b)`.
typedef struct trine_forward_args_f64 {
    // Input, n×d.
    struct trine_in_f64 x;
    // Weights, d×m.
    struct trine_in_f64 w;
    // Bias, or null.
    const double *bias;
    // Values of the bias: m, or 0.
    size_t bias_len;
    // A trine_activation.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU, positive and finite.
    float slope;
    // Output, n×m.
    struct trine_out_f64 y;
    // Where Z goes, n×m, if backward will need it; may be left out.
    struct trine_out_f64 z;
} trine_forward_args_f64;

// Operands of a backward pass: ∇X = ∇Z·Wᵀ, ∇W = Xᵀ·∇Z, ∇b = 1ᵀ·∇Z with ∇Z = ∇Y ⊙ act'.
typedef struct trine_backward_args_f32 {
    // Input of the layer, n×d.
    struct trine_in_f32 x;
    // Weights, d×m.
    struct trine_in_f32 w;
    // Gradient of the output, n×m.
    struct trine_in_f32 dy;
    // Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    struct trine_in_f32 saved;
    // A trine_activation, that of the forward pass.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU.
    float slope;
    // ∇X, n×d; may be left out.
    struct trine_out_f32 dx;
    // ∇W, d×m; may be left out.
    struct trine_out_f32 dw;
    // ∇b, or null.
    float *db;
    // Values of ∇b: m, or 0.
    size_t db_len;
    // How ∇X is written, a trine_write.
    int32_t dx_write;
    // How ∇W and ∇b are written, a trine_write.
    int32_t params_write;
} trine_backward_args_f32;

// Operands of a backward pass: ∇X = ∇Z·Wᵀ, ∇W = Xᵀ·∇Z, ∇b = 1ᵀ·∇Z with ∇Z = ∇Y ⊙ act'.
typedef struct trine_backward_args_f64 {
    // Input of the layer, n×d.
    struct trine_in_f64 x;
    // Weights, d×m.
    struct trine_in_f64 w;
    // Gradient of the output, n×m.
    struct trine_in_f64 dy;
    // Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    struct trine_in_f64 saved;
    // A trine_activation, that of the forward pass.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU.
    float slope;
    // ∇X, n×d; may be left out.
    struct trine_out_f64 dx;
    // ∇W, d×m; may be left out.
    struct trine_out_f64 dw;
    // ∇b, or null.
    double *db;
    // Values of ∇b: m, or 0.
    size_t db_len;
    // How ∇X is written, a trine_write.
    int32_t dx_write;
    // How ∇W and ∇b are written, a trine_write.
    int32_t params_write;
} trine_backward_args_f64;

// Operands of a backward pass that steps at once: `W += −lr·∇W`, `b += −lr·∇b`, without memory for ∇W. ∇X is taken
// from W as it was.
typedef struct trine_step_args_f32 {
    // Input of the layer, n×d.
    struct trine_in_f32 x;
    // Weights, d×m, updated.
    struct trine_out_f32 w;
    // Bias, updated, or null.
    float *bias;
    // Values of the bias: m, or 0.
    size_t bias_len;
    // Gradient of the output, n×m.
    struct trine_in_f32 dy;
    // Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    struct trine_in_f32 saved;
    // A trine_activation, that of the forward pass.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU.
    float slope;
    // ∇X, n×d, replaced; may be left out.
    struct trine_out_f32 dx;
    // Learning rate.
    float lr;
} trine_step_args_f32;

// Operands of a backward pass that steps at once: `W += −lr·∇W`, `b += −lr·∇b`, without memory for ∇W. ∇X is taken
// from W as it was.
typedef struct trine_step_args_f64 {
    // Input of the layer, n×d.
    struct trine_in_f64 x;
    // Weights, d×m, updated.
    struct trine_out_f64 w;
    // Bias, updated, or null.
    double *bias;
    // Values of the bias: m, or 0.
    size_t bias_len;
    // Gradient of the output, n×m.
    struct trine_in_f64 dy;
    // Y or Z of the forward pass, n×m, as trine_activation says; left out for the identity.
    struct trine_in_f64 saved;
    // A trine_activation, that of the forward pass.
    int32_t activation;
    // Of TRINE_ACTIVATION_LEAKY_RELU.
    float slope;
    // ∇X, n×d, replaced; may be left out.
    struct trine_out_f64 dx;
    // Learning rate.
    double lr;
} trine_step_args_f64;

// Operands of a product: `C = alpha·A·B` or `C += alpha·A·B`.
typedef struct trine_gemm_args_f32 {
    // n×d.
    struct trine_in_f32 a;
    // d×m.
    struct trine_in_f32 b;
    // n×m.
    struct trine_out_f32 c;
    // Factor of every partial sum.
    float alpha;
    // A trine_write.
    int32_t write;
} trine_gemm_args_f32;

// Operands of a product: `C = alpha·A·B` or `C += alpha·A·B`.
typedef struct trine_gemm_args_f64 {
    // n×d.
    struct trine_in_f64 a;
    // d×m.
    struct trine_in_f64 b;
    // n×m.
    struct trine_out_f64 c;
    // Factor of every partial sum.
    double alpha;
    // A trine_write.
    int32_t write;
} trine_gemm_args_f64;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library that is linked, such as "0.1.0". The macros tell the header's.
const char *trine_version(void);

// A new engine. `isa` is a trine_isa; `threads` the most that it uses (0 is 1): the caller's and others of its
// own, which end with it; fewer if the system gives no more. In a forked process they are missing, and the caller's
// works alone. Its scratch memory is made at the first call and grows with larger layers. To be freed with
// trine_engine_free; `*engine` is null if there is none.
//
// Errors: NULL, VALUE (no trine_isa), ISA, RESOURCES.
//
// # Safety
// `engine` is null or a place for a pointer.
trine_status trine_engine_new(int32_t isa,
                              size_t threads,
                              struct trine_engine **engine);

// A new engine of one thread in `bytes` bytes of the caller's memory, of any alignment. It allocates
// nothing, neither now nor in a call. trine_scratch_size says how many bytes a layer needs; a call that
// needs more is refused (SCRATCH). The memory is the engine's until trine_engine_free, which does not free it.
//
// Errors: NULL, VALUE (no trine_isa), ISA, SCRATCH (not even room for the engine itself).
//
// # Safety
// `memory` is null or has `bytes` bytes that nobody else uses until the engine is freed; `engine` is null or a
// place for a pointer.
trine_status trine_engine_in(int32_t isa,
                             void *memory,
                             size_t bytes,
                             struct trine_engine **engine);

// Ends an engine, and frees its memory if that is its own. Null is no engine, and nothing is done.
//
// # Safety
// Null, or an engine that has not been freed and is not used.
void trine_engine_free(struct trine_engine *engine);

// The instruction set of an engine, a trine_isa; 0 if it is null.
//
// # Safety
// Null or an engine.
int32_t trine_engine_isa(const struct trine_engine *engine);

// The most threads that an engine uses; 0 if it is null.
//
// # Safety
// Null or an engine.
size_t trine_engine_threads(const struct trine_engine *engine);

// Bytes of memory for trine_engine_in, in which an engine on `isa` computes `op` (a trine_op) on an n×d×m layer
// of `element`s (a trine_element), whatever the strides and the activation. SIZE_MAX if no memory is large
// enough. 0 if `isa`, `element` or `op` is no constant of its kind (trine_message says which).
size_t trine_scratch_size(int32_t isa,
                          int32_t element,
                          int32_t op,
                          size_t n,
                          size_t d,
                          size_t m);

// The instruction sets that this machine has, the best one last: at most `room` of them to `list`, which
// may be null if `room` is 0. Returns how many there are.
//
// # Safety
// `list` has room for `room` numbers.
size_t trine_isa_list(int32_t *list, size_t room);

// Whether this machine has the instruction set: 1 or 0; 0 for what is no trine_isa.
int32_t trine_isa_available(int32_t isa);

// Its name, such as "avx2", as in TRINE_ISA; null for what is no trine_isa. Of TRINE_ISA_BEST and
// TRINE_ISA_ENVIRONMENT it is the name of what they stand for.
const char *trine_isa_name(int32_t isa);

// The instruction set of this name, or −2 if there is none.
//
// # Safety
// `name` is null or a text closed by a zero.
int32_t trine_isa_named(const char *name);

// Whether its multiply-add is rounded once: 1, or 0 if it is rounded after the product and after the sum; −1
// for what is no trine_isa or no trine_element. Results are the same bits among all that return the same.
int32_t trine_isa_is_fused(int32_t isa,
                           int32_t element);

// `Z = X·W + b`, `Y = act(Z)`, 2·n·d·m operations.
//
// Errors: NULL, MISALIGNED, TOO_SHORT, TOO_LARGE, OVERLAP, ALIASED, SHAPE, VALUE, SCRATCH.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_forward_f32(struct trine_engine *engine, const struct trine_forward_args_f32 *args);

// As trine_forward_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_forward_f64(struct trine_engine *engine, const struct trine_forward_args_f64 *args);

// ∇X, ∇W and ∇b from ∇Y in one sweep over it, 2·n·d·m operations for each of the first two.
//
// Errors: NULL, MISALIGNED, TOO_SHORT, TOO_LARGE, OVERLAP, ALIASED, SHAPE, MISSING, VALUE, SCRATCH.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_backward_f32(struct trine_engine *engine, const struct trine_backward_args_f32 *args);

// As trine_backward_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_backward_f64(struct trine_engine *engine, const struct trine_backward_args_f64 *args);

// ∇X, and a step of SGD straight into W and b.
//
// Errors: as for trine_backward_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_step_f32(struct trine_engine *engine, const struct trine_step_args_f32 *args);

// As trine_step_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_step_f64(struct trine_engine *engine, const struct trine_step_args_f64 *args);

// `C = alpha·A·B` or `C += alpha·A·B`, 2·n·d·m operations.
//
// Errors: as for trine_forward_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_gemm_f32(struct trine_engine *engine, const struct trine_gemm_args_f32 *args);

// As trine_gemm_f32.
//
// # Safety
// The pointers are null or as this header says.
trine_status trine_gemm_f64(struct trine_engine *engine, const struct trine_gemm_args_f64 *args);

// What was wrong in the last call of this thread that failed: which operand, what was expected, what was
// found, such as "w has 783 rows, but x has 784 columns". UTF-8, never null, empty before the first
// failure; valid until the next failure in this thread.
const char *trine_message(void);

// What a trine_status means, in words; never null.
const char *trine_status_text(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* TRINE_H */

#ifndef TRINE_H_VIEWS
#define TRINE_H_VIEWS

/** Any number of elements: the caller vouches that the operand's shape and strides fit its memory. */
#define TRINE_ANY ((size_t)-1)

/** A row-major matrix that is read: `ld` elements from one row to the next, as in BLAS. `len` is the number
 * of elements at `data`, or TRINE_ANY. */
static inline trine_in_f32 trine_rows_f32(const float *data, size_t len, size_t rows, size_t cols, size_t ld)
{
    trine_in_f32 view = { data, len, rows, cols, ld, 1 };
    return view;
}

/** As trine_rows_f32. */
static inline trine_in_f64 trine_rows_f64(const double *data, size_t len, size_t rows, size_t cols, size_t ld)
{
    trine_in_f64 view = { data, len, rows, cols, ld, 1 };
    return view;
}

/** A row-major matrix that is written. */
static inline trine_out_f32 trine_out_rows_f32(float *data, size_t len, size_t rows, size_t cols, size_t ld)
{
    trine_out_f32 view = { data, len, rows, cols, ld, 1 };
    return view;
}

/** A row-major matrix that is written. */
static inline trine_out_f64 trine_out_rows_f64(double *data, size_t len, size_t rows, size_t cols, size_t ld)
{
    trine_out_f64 view = { data, len, rows, cols, ld, 1 };
    return view;
}

#endif  /* TRINE_H_VIEWS */
