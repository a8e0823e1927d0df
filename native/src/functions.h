// Elementary functions on vectors, one text for float and double: the range is reduced exactly and a
// Taylor series summed, long enough for the type. Infinities and NaN come out as libm gives them.
#pragma once

#include <math.h>

#include "isa.h"

namespace elman {
namespace {

template <class T>
ELMAN_INLINE Vec<T> select(Int<T> mask, Vec<T> yes, Vec<T> no) {
    return mask ? yes : no;
}

template <class T>
constexpr T kInfinity = T(__builtin_inf());

constexpr double factorial(int n) { return n < 2 ? 1.0 : n * factorial(n - 1); }

// sum over k of x^k / (first + k * stride)! for k < terms
template <class T, int kTerms, int kFirst, int kStride>
ELMAN_INLINE Vec<T> series(Vec<T> x, T sign) {
    auto term = [=](int k) { return T((k % 2 && sign < 0 ? -1 : 1) / factorial(kFirst + k * kStride)); };
    Vec<T> sum = splat(term(kTerms - 1));
    ELMAN_UNROLL
    for (int k = kTerms - 2; k >= 0; --k) sum = sum * x + term(k);
    return sum;
}

// Adding this rounds to an integer, which then stands in the low bits.
template <class T>
constexpr T kRounder = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);

template <class T>
struct Reduced {
    Vec<T> rest;     // x - n log 2, at most log(2)/2
    Int<T> rounded;  // n, in the low bits
};

template <class T>
ELMAN_INLINE Reduced<T> by_powers_of_two(Vec<T> x) {
    Vec<T> shifted = x * T(1.44269504088896340736) + kRounder<T>;
    Vec<T> n = shifted - kRounder<T>;
    const T high = sizeof(T) == 4 ? T(0.693359375) : T(6.93147180369123816490e-01);
    const T low = sizeof(T) == 4 ? T(-2.12194440e-4) : T(1.90821492927058770002e-10);
    return {(x - n * high) - n * low, as_int<T>(shifted)};
}

// 2^(n + shift)
template <class T>
ELMAN_INLINE Vec<T> power_of_two(Int<T> rounded, int shift) {
    const Bits<T> exponent = Bits<T>(rounded) + Lane<T>(Traits<T>::kBias + shift);
    return as_float<T>(Int<T>(exponent << Traits<T>::kMantissa));
}

template <class T>
constexpr int kExpTerms = sizeof(T) == 4 ? 8 : 14;

// exp for |x| below 85 (float) or 700 (double), or NaN.
template <class T>
ELMAN_INLINE Vec<T> exp_in_range(Vec<T> x) {
    Reduced<T> r = by_powers_of_two<T>(x);
    return series<T, kExpTerms<T>, 0, 1>(r.rest, T(1)) * power_of_two<T>(r.rounded, 0);
}

template <class T>
ELMAN_INLINE Vec<T> clamp(Vec<T> x, T low, T high) {  // a NaN stays
    return larger(splat(low), smaller(splat(high), x));
}

template <class T>
ELMAN_INLINE Vec<T> exp(Vec<T> x) {
    const T low = sizeof(T) == 4 ? T(-86.5) : T(-707), high = sizeof(T) == 4 ? T(89) : T(710);
    Reduced<T> r = by_powers_of_two<T>(clamp<T>(x, low, high));
    // In two steps, since 2^n itself may be too large for the type when e^x is not.
    Vec<T> e = series<T, kExpTerms<T>, 0, 1>(r.rest, T(1)) * power_of_two<T>(r.rounded, -1) * T(2);
    return select<T>(x < low, splat(T(0)), e);
}

template <class T>
ELMAN_INLINE Vec<T> expm1(Vec<T> x) {
    Vec<T> small = x * series<T, kExpTerms<T>, 1, 1>(x, T(1));
    Int<T> near = (x < T(0.35)) & (x > T(-0.35));
    return select<T>(near, small, exp<T>(x) - T(1));
}

template <class T>
ELMAN_INLINE Vec<T> sigmoid(Vec<T> x) {
    const T bound = sizeof(T) == 4 ? T(85) : T(700);
    const Vec<T> y = quick_reciprocal<T>(T(1) + exp_in_range<T>(clamp<T>(-x, -bound, bound)));
    return select<T>(x < -bound, splat(T(0)), y);  // no less: infinity times its derivative is NaN
}

template <class T>
ELMAN_INLINE Vec<T> tanh(Vec<T> x) {
    if constexpr (sizeof(T) == 4) {  // a rational approximation, right to 2e-7; above 1 from 9.2 on
        x = clamp<T>(x, T(-10), T(10));
        Vec<T> y = x * x;
        Vec<T> p = y * T(-2.76076847742355e-16) + T(2.00018790482477e-13);
        p = y * p + T(-8.60467152213735e-11);
        p = y * p + T(5.12229709037114e-08);
        p = y * p + T(1.48572235717979e-05);
        p = y * p + T(6.37261928875436e-04);
        p = y * p + T(4.89352455891786e-03);
        Vec<T> q = y * T(1.19825839466702e-06) + T(1.18534705686654e-04);
        q = y * q + T(2.26843463243900e-03);
        q = y * q + T(4.89352518554385e-03);
        return clamp<T>(x * p * quick_reciprocal<T>(q), T(-1), T(1));
    } else {
        Vec<T> e = expm1<T>(clamp<T>(x + x, T(-50), T(50)));
        return e / (e + T(2));
    }
}

// log of m * 2^n: the series of 2 atanh(s), s = (m - 1) / (m + 1), with m within sqrt(2) of 1.
template <class T>
ELMAN_INLINE Vec<T> log(Vec<T> x) {
    constexpr int kTerms = sizeof(T) == 4 ? 5 : 11;
    const T tiny = sizeof(T) == 4 ? T(1.17549435e-38) : T(2.2250738585072014e-308);
    const T scale = sizeof(T) == 4 ? T(16777216.0) : T(18014398509481984.0);  // for subnormal numbers
    Int<T> small = x < tiny;
    const Bits<T> bits = Bits<T>(as_int<T>(select<T>(small, x * scale, x)));
    const Lane<T> root_half = sizeof(T) == 4 ? Lane<T>(0x3F3504F3) : Lane<T>(0x3FE6A09E667F3BCDll);
    const Int<T> n = Int<T>(bits - root_half) >> Traits<T>::kMantissa;
    Vec<T> m = as_float<T>(Int<T>(bits - (Bits<T>(n) << Traits<T>::kMantissa)));
    Vec<T> exponent = __builtin_convertvector(n, Vec<T>);
    exponent = select<T>(small, exponent - T(sizeof(T) == 4 ? 24 : 54), exponent);
    Vec<T> s = (m - T(1)) / (m + T(1)), s2 = s * s, sum = splat(T(2.0 / (2 * kTerms - 1)));
    ELMAN_UNROLL
    for (int k = kTerms - 2; k >= 1; --k) sum = sum * s2 + T(2.0 / (2 * k + 1));
    const T high = sizeof(T) == 4 ? T(0.693359375) : T(6.93147180369123816490e-01);
    const T low = sizeof(T) == 4 ? T(-2.12194440e-4) : T(1.90821492927058770002e-10);
    Vec<T> r = (exponent * low + s * s2 * sum) + T(2) * s + exponent * high;
    r = select<T>(x == T(0), splat(-kInfinity<T>), r);
    r = select<T>(x == kInfinity<T>, x, r);
    return select<T>(x >= T(0), r, splat(T(__builtin_nan(""))));
}

template <class T>
ELMAN_INLINE Vec<T> log1p(Vec<T> x) {
    Vec<T> u = T(1) + x;
    Vec<T> r = log<T>(u) + (x - (u - T(1))) / u;  // what rounding 1 + x lost
    r = select<T>((u > T(0)) & (u < kInfinity<T>), r, log<T>(u));
    return select<T>(x == T(0), x, r);  // -0 too
}

// One lane at a time, for what is rare or needs a long argument reduction.
#define ELMAN_OF(function) [](double v) { return function(v); }
#define ELMAN_OF_TWO(function) [](double v, double w) { return function(v, w); }

template <class T, class F>
ELMAN_INLINE Vec<T> by_lanes(Vec<T> x, F f) {
    for (int i = 0; i < kLanes<T>; ++i) x[i] = T(f(x[i]));
    return x;
}

// sin(x + quarters * pi/2)
template <class T>
ELMAN_INLINE Vec<T> sine(Vec<T> x, int quarters) {
    constexpr int kTerms = sizeof(T) == 4 ? 6 : 9;
    const T limit = sizeof(T) == 4 ? T(4096) : T(1048576);
    const Int<T> far = !((x < limit) & (x > -limit));
    // Of each lane alone: the others may be padding, whose numbers nobody knows.
    const Vec<T> all = x;
    x = select<T>(far, Vec<T>{}, x);
    Vec<T> shifted = x * T(0.63661977236758134308) + kRounder<T>;
    Vec<T> n = shifted - kRounder<T>;
    Vec<T> r;
    if constexpr (sizeof(T) == 4) {
        r = ((x - n * T(1.5703125)) - n * T(4.837512969970703125e-4)) - n * T(7.54978995489188216e-8);
    } else {
        r = ((x - n * T(1.57079632673412561417e+00)) - n * T(6.07710050630396597660e-11)) -
            n * T(2.02226624879595063154e-21);
    }
    Int<T> quadrant = as_int<T>(shifted) + quarters;
    Vec<T> r2 = r * r;
    Vec<T> sin_r = r * series<T, kTerms, 1, 2>(r2, T(-1));
    Vec<T> cos_r = series<T, kTerms, 0, 2>(r2, T(-1));
    Vec<T> value = select<T>((quadrant & 1) != 0, cos_r, sin_r);
    value = select<T>((quadrant & 2) != 0, -value, value);
    if (!any_of<T>(far)) return value;
    return select<T>(far, by_lanes<T>(all, [=](double v) { return quarters ? ::cos(v) : ::sin(v); }), value);
}

template <class T>
ELMAN_INLINE Vec<T> erf(Vec<T> x) {
    if constexpr (sizeof(T) == 4) {  // a rational approximation, right to 3e-7
        Vec<T> c = clamp<T>(x, T(-4), T(4)), y = c * c;
        Vec<T> p = y * T(-2.72614225801306e-10) + T(2.77068142495902e-08);
        p = y * p + T(-2.10102402082508e-06);
        p = y * p + T(-5.69250639462346e-05);
        p = y * p + T(-7.34990630326855e-04);
        p = y * p + T(-2.95459980854025e-03);
        p = y * p + T(-1.60960333262415e-02);
        Vec<T> q = y * T(-1.45660718464996e-05) + T(-2.13374055278905e-04);
        q = y * q + T(-1.68282697438203e-03);
        q = y * q + T(-7.37332916720468e-03);
        q = y * q + T(-1.42647390514189e-02);
        return clamp<T>(c * p / q, T(-1), T(1));
    } else {
        return by_lanes<T>(x, [](double v) { return ::erf(v); });
    }
}

template <class T>
ELMAN_INLINE Vec<T> root(Vec<T> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_sqrt_ps((__m512)x);
    else return (Vec<T>)_mm512_sqrt_pd((__m512d)x);
#else
    return by_lanes<T>(x, [](T v) { return sizeof(T) == 4 ? ::sqrtf(float(v)) : ::sqrt(double(v)); });
#endif
}

template <class T, class F>
ELMAN_INLINE Vec<T> by_pairs(Vec<T> x, Vec<T> y, F f) {
    for (int i = 0; i < kLanes<T>; ++i) x[i] = T(f(double(x[i]), double(y[i])));
    return x;
}

// In a function of its own, since where the compiler sees the conversion back it may leave out both.
__attribute__((noinline)) double to_single(double x) { return double(float(x)); }

inline double log_gamma(double x) {
    int sign;  // of the gamma function; lgamma would write it where all threads see it
    return lgamma_r(x, &sign);
}

template <class T>
constexpr Lane<T> kSign = Lane<T>(1) << (8 * sizeof(T) - 1);

template <class T>
ELMAN_INLINE Vec<T> absolute(Vec<T> x) {
    return as_float<T>(Int<T>(Bits<T>(as_int<T>(x)) & ~kSign<T>));
}

template <class T>
ELMAN_INLINE Vec<T> with_sign_of(Vec<T> x, Vec<T> y) {
    const Bits<T> sign = Bits<T>(as_int<T>(y)) & kSign<T>;
    return as_float<T>(Int<T>(Bits<T>(as_int<T>(absolute<T>(x))) | sign));
}

template <class T>
ELMAN_INLINE Vec<T> maximum(Vec<T> a, Vec<T> b) {  // NaN where either is
    return select<T>(a != a, a, select<T>(a > b, a, b));
}

template <class T>
ELMAN_INLINE T largest_of(Vec<T> v) {
    T most = v[0];
    for (int i = 1; i < kLanes<T>; ++i) most = most != most || most > v[i] ? most : v[i];
    return most;
}

}  // namespace
}  // namespace elman
