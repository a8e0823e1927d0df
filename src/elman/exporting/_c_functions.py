"""The C functions that a file brings along: elementary functions, and products with weights.

The elementary functions have no branch and compare no floating-point numbers, so that a compiler
may vectorize loops over them under strict C99. The range is reduced exactly and a Taylor series
summed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_REDUCED = """\
    union {p}_bits t, s;
    float n, r, p;
    x = {p}_clamp(x, 0x42b00000u); /* 88 */
    t.f = x * 1.44269504f + 12582912.0f; /* rounds: n stands in the low bits */
    n = t.f - 12582912.0f;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* at most log(2) / 2 */
    p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    s.u = (t.u + 127u) << 23; /* 2^n */
"""

FUNCTIONS: dict[str, str] = {
    "fma": """\
/* a * b + c in one instruction, where the processor has it. */
#ifdef FP_FAST_FMAF
#define {P}_FMA(a, b, c) fmaf((a), (b), (c))
#else
#define {P}_FMA(a, b, c) ((a) * (b) + (c))
#endif
""",
    "plain_fma": """\
#define {P}_FMA(a, b, c) ((a) * (b) + (c))
""",
    "bits": """\
union {p}_bits {
    float f;
    uint32_t u;
};
""",
    "clamp": """\
/* x within plus or minus a number, of which the bits are given; NaN stays. */
static inline float {p}_clamp(float x, uint32_t most) {
    union {p}_bits v;
    uint32_t a;
    v.f = x;
    a = v.u & 0x7fffffffu;
    a = a - most <= 0x7f800000u - most ? most : a;
    v.u = a | (v.u & 0x80000000u);
    return v.f;
}
""",
    "exp": """\
/* Relative error below 2e-7; 0 below -87.7, and exp(88) above 88. */
static inline float {p}_exp(float x) {
"""
    + _REDUCED
    + """\
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * s.f;
}
""",
    "expm1": """\
/* exp(x) - 1; relative error below 3e-7, and exp(88) above 88. */
static inline float {p}_expm1(float x) {
"""
    + _REDUCED
    + """\
    p = p * (r * r) + r;
    return p * s.f + (s.f - 1.0f);
}
""",
    "sigmoid": """\
/* Relative error below 3e-7. */
static inline float {p}_sigmoid(float x) {
    return 1.0f / (1.0f + {p}_exp(-x));
}
""",
    "tanh": """\
/* Relative error below 3e-7. */
static inline float {p}_tanh(float x) {
    const float e = {p}_expm1(2.0f * {p}_clamp(x, 0x41200000u)); /* 10 */
    return e / (e + 2.0f);
}
""",
    "relu": """\
static inline float {p}_relu(float x) {
    union {p}_bits v;
    v.f = x;
    v.u &= (v.u >> 31) - 1u;
    return v.f;
}
""",
    "log": """\
/* Relative error below 3e-7, or absolute below 1e-7 near 1; of positive normal numbers. */
static inline float {p}_log(float x) {
    union {p}_bits v;
    float e, f, s, z, series;
    uint32_t high;
    v.f = x;
    high = (v.u - 0x3f3504f3u) & 0xff800000u; /* the power of two, about the root of 1/2 */
    v.u -= high;
    e = (float)((int32_t)high / 8388608);
    f = v.f - 1.0f;
    s = f / (2.0f + f);
    z = s * s;
    series = z * (2.0f / 3.0f + z * (2.0f / 5.0f + z * (2.0f / 7.0f + z * (2.0f / 9.0f))));
    return e * 0.693359375f + (f - s * (f - series) + e * -2.12194440e-4f);
}
""",
    "log1p": """\
/* Relative error below 3e-7, for x above -1. */
static inline float {p}_log1p(float x) {
    const float u = 1.0f + x, rest = x - (u - 1.0f);
    return {p}_log(u) + rest / u;
}
""",
    "sqrt": """\
/* Relative error below 2e-7. */
static inline float {p}_sqrt(float x) {
    union {p}_bits v;
    float y;
    v.f = x;
    v.u = 0x5f3759dfu - (v.u >> 1);
    y = v.f; /* 1 / sqrt(x), by Newton's method */
    y = y * (1.5f - 0.5f * x * y * y);
    y = y * (1.5f - 0.5f * x * y * y);
    y = y * (1.5f - 0.5f * x * y * y);
    return x * y;
}
""",
    "product": """\
/* y = bias + x W, W with n_out numbers for each of x: whole vectors of y at a time. */
static void {p}_product(const float *restrict w, const float *restrict bias,
                        const float *restrict x, float *restrict y, size_t n_in, size_t n_out) {
    const size_t whole = n_in - n_in % 4;
    size_t i, k;
    for (i = 0; i < n_out; ++i) y[i] = bias ? bias[i] : 0.0f;
    for (k = 0; k < whole; k += 4, w += 4 * n_out) {
        const float *w1 = w + n_out, *w2 = w1 + n_out, *w3 = w2 + n_out;
        const float x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        for (i = 0; i < n_out; ++i) {
            float sum = {P}_FMA(x0, w[i], y[i]);
            sum = {P}_FMA(x1, w1[i], sum);
            sum = {P}_FMA(x2, w2[i], sum);
            y[i] = {P}_FMA(x3, w3[i], sum);
        }
    }
    for (k = whole; k < n_in; ++k, w += n_out)
        for (i = 0; i < n_out; ++i) y[i] = {P}_FMA(x[k], w[i], y[i]);
}
""",
    "product_int8": """\
/* The same with weights of 8 bits: column i of W is w[.][i] * scale[i]. */
static void {p}_product_int8(const int8_t *restrict w, const float *restrict scale,
                             const float *restrict bias, const float *restrict x,
                             float *restrict y, size_t n_in, size_t n_out) {
    const size_t whole = n_in - n_in % 4;
    size_t i, k;
    for (i = 0; i < n_out; ++i) y[i] = 0.0f;
    for (k = 0; k < whole; k += 4, w += 4 * n_out) {
        const int8_t *w1 = w + n_out, *w2 = w1 + n_out, *w3 = w2 + n_out;
        const float x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        for (i = 0; i < n_out; ++i) {
            float sum = {P}_FMA(x0, (float)w[i], y[i]);
            sum = {P}_FMA(x1, (float)w1[i], sum);
            sum = {P}_FMA(x2, (float)w2[i], sum);
            y[i] = {P}_FMA(x3, (float)w3[i], sum);
        }
    }
    for (k = whole; k < n_in; ++k, w += n_out)
        for (i = 0; i < n_out; ++i) y[i] = {P}_FMA(x[k], (float)w[i], y[i]);
    for (i = 0; i < n_out; ++i) y[i] = {P}_FMA(y[i], scale[i], bias ? bias[i] : 0.0f);
}
""",
}
"""In an order in which each comes after those that it needs."""

_NAME = re.compile(r"\{p\}_(\w+)\b")


def functions(used: Iterable[str], prefix: str, *, libm: bool) -> str:
    """The text of these functions and of all that they need.

    Args:
        used: names among `FUNCTIONS`.
        prefix: what their names begin with.
        libm: whether math.h is included.
    """
    needed: set[str] = set()
    open_names = list(used)
    while open_names:
        name = open_names.pop()
        if name in needed:
            continue
        needed.add(name)
        text = FUNCTIONS[name]
        open_names += [n for n in _NAME.findall(text) if n in FUNCTIONS and n != name]
        if "{P}_FMA" in text and "fma" not in name:
            open_names.append("fma" if libm else "plain_fma")
    return "\n".join(
        text.replace("{p}", prefix).replace("{P}", prefix.upper())
        for name, text in FUNCTIONS.items()
        if name in needed
    )
