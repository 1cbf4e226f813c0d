"""Holds numpy's products against its own einsum, which calls no BLAS, while libtrine stands in place of its BLAS:

    LD_PRELOAD=…/libtrine.so python3 with_numpy.py …/libtrine.so

Orders, transposes, parts of larger arrays, both precisions. Products of whole row-major matrices are also the
same bits as those of a call of libtrine's function from here, and of the same product in a forked process."""

import ctypes
import os
import signal
import sys

import numpy as np

library = ctypes.CDLL(sys.argv[1])
assert any(sys.argv[1] in line for line in open("/proc/self/maps")), "not loaded"
rng = np.random.default_rng(7)
passed = exact = 0


def operand(rows, cols, kind, dtype):
    """A rows × cols matrix that lies in memory in some way."""
    if kind == "rows":
        return rng.uniform(-1, 1, (rows, cols)).astype(dtype)
    if kind == "columns":
        return rng.uniform(-1, 1, (cols, rows)).astype(dtype).T
    if kind == "part":
        return rng.uniform(-1, 1, (rows + 3, cols + 5)).astype(dtype)[2 : rows + 2, 1 : cols + 1]
    if kind == "part of columns":
        return rng.uniform(-1, 1, (cols + 2, rows + 4)).astype(dtype)[1 : cols + 1, 3 : rows + 3].T
    return rng.uniform(-1, 1, (2 * rows, 3 * cols)).astype(dtype)[::-2, ::3]  # scattered


def direct(a, b):
    """The same product by a call from here."""
    (m, k), n = a.shape, b.shape[1]
    c = np.empty((m, n), a.dtype)
    name, scalar = {4: ("cblas_sgemm", ctypes.c_float), 8: ("cblas_dgemm", ctypes.c_double)}[a.itemsize]
    pointer = ctypes.c_void_p
    getattr(library, name)(
        101, 111, 111, m, n, k, scalar(1), pointer(a.ctypes.data), k, pointer(b.ctypes.data), n,
        scalar(0), pointer(c.ctypes.data), n,
    )
    return c


kinds = ["rows", "columns", "part", "part of columns", "scattered"]
for dtype in (np.float32, np.float64):
    eps = np.finfo(dtype).eps
    for m, n, k in [(2, 2, 2), (3, 5, 7), (35, 35, 35), (16, 10, 64), (65, 33, 129), (200, 130, 600), (4, 257, 513)]:
        for kind_a in kinds:
            for kind_b in kinds:
                a, b = operand(m, k, kind_a, dtype), operand(k, n, kind_b, dtype)
                wide_a, wide_b = a.astype(np.longdouble), b.astype(np.longdouble)
                right = np.einsum("ik,kj->ij", wide_a, wide_b)
                most = np.einsum("ik,kj->ij", abs(wide_a), abs(wide_b))
                for found in (a @ b, np.dot(a, b), np.matmul(a, b, out=np.full((m, n), np.nan, dtype))):
                    assert found.dtype == dtype
                    assert (abs(found - right) <= (k + 2) * eps * most).all(), (dtype, m, n, k, kind_a, kind_b)
                    passed += 1
                if kind_a == kind_b == "rows":
                    assert (a @ b).tobytes() == direct(a, b).tobytes(), (dtype, m, n, k)
                    exact += 1
assert exact == 14

# A child of this process, which has none of its threads, gets the same bits, and gets them in a minute.
a, b = operand(256, 300, "rows", np.float32), operand(300, 200, "rows", np.float32)
expected = (a @ b).tobytes()
for _ in range(5):
    assert (a @ b).tobytes() == expected
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if all((a @ b).tobytes() == expected for _ in range(20)) else 1)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"a forked process ended with status {status}"
    exact += 1
print(f"numpy {np.__version__} with libtrine: {passed} products within rounding of einsum, {exact} the same bits")
print(f"{passed + exact} passed, 0 failed")
