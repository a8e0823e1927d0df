// Vectors of the widest registers that this translation unit may use, by the compiler's vector types:
// one source for every instruction set, float and double. ELMAN_ISA names the set (see CMakeLists.txt).
//
// Nothing in the files that are compiled once per set may have external inline linkage: the linker would
// keep one copy for all, perhaps the one that needs AVX-512. Hence the unnamed namespaces, no templates
// of the standard library, and a test that looks at the objects.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ELMAN_INLINE inline __attribute__((always_inline))
#define ELMAN_UNROLL _Pragma("GCC unroll 64")
#define ELMAN_UNROLL_TWICE _Pragma("GCC unroll 2")

namespace elman {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kBlockRows = 9, kWidth = 3;  // rows and columns of a block: 27 sums in 32 registers
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kBlockRows = 6, kWidth = 2;  // 12 sums in 16 registers
#else
constexpr int kVectorBytes = 16;
#if defined(__aarch64__)
constexpr int kBlockRows = 9, kWidth = 3;
#else
constexpr int kBlockRows = 6, kWidth = 2;
#endif
#endif

template <class T>
struct Traits;

template <>
struct Traits<float> {
    typedef float Vec __attribute__((vector_size(kVectorBytes)));
    typedef float Unaligned __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
    typedef int32_t Int __attribute__((vector_size(kVectorBytes)));
    typedef uint32_t Lane;
    typedef Lane Bits __attribute__((vector_size(kVectorBytes)));
    static constexpr int kMantissa = 23, kBias = 127;
};

template <>
struct Traits<double> {
    typedef double Vec __attribute__((vector_size(kVectorBytes)));
    typedef double Unaligned __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
    typedef int64_t Int __attribute__((vector_size(kVectorBytes)));
    typedef uint64_t Lane;
    typedef Lane Bits __attribute__((vector_size(kVectorBytes)));
    static constexpr int kMantissa = 52, kBias = 1023;
};

template <class T>
using Vec = typename Traits<T>::Vec;
template <class T>
using Int = typename Traits<T>::Int;
template <class T>
using Bits = typename Traits<T>::Bits;  // as Int, but wraps around where a sum is too large
template <class T>
using Lane = typename Traits<T>::Lane;

template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T>
ELMAN_INLINE Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Traits<T>::Unaligned*>(p);
}

template <class T>
ELMAN_INLINE void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Traits<T>::Unaligned*>(p) = v;
}

template <class T>
ELMAN_INLINE Vec<T> splat(T x) {
    return x - Vec<T>{};  // x itself, where 0 + x would make 0 of -0 and cost an addition
}

// The first `n` lanes; the others are zero, and their memory is not touched.
template <class T>
ELMAN_INLINE Vec<T> load_some(const T* p, int n) {
    if (n >= kLanes<T>) return load(p);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_loadu_ps(__mmask16((1u << n) - 1), p);
    else return (Vec<T>)_mm512_maskz_loadu_pd(__mmask8((1u << n) - 1), p);
#endif
    Vec<T> v{};
    memcpy(&v, p, size_t(n) * sizeof(T));
    return v;
}

template <class T>
ELMAN_INLINE void store_some(T* p, Vec<T> v, int n) {
    if (n >= kLanes<T>) return store(p, v);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(p, __mmask16((1u << n) - 1), (__m512)v);
    else return _mm512_mask_storeu_pd(p, __mmask8((1u << n) - 1), (__m512d)v);
#endif
    memcpy(p, &v, size_t(n) * sizeof(T));
}

template <class T>
ELMAN_INLINE T sum_of(Vec<T> v) {
    T total = 0;
    ELMAN_UNROLL
    for (int i = 0; i < kLanes<T>; ++i) total += v[i];
    return total;
}

// Whether a comparison holds anywhere.
template <class T>
ELMAN_INLINE bool any_of(Int<T> mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    bool any = false;
    for (int i = 0; i < kLanes<T>; ++i) any |= mask[i] != 0;
    return any;
#endif
}

// Lanes at or after `n` become zero.
template <class T>
ELMAN_INLINE Vec<T> keep_some(Vec<T> v, int n) {
    for (int i = n; i < kLanes<T>; ++i) v[i] = 0;
    return v;
}

template <class T>
ELMAN_INLINE Vec<T> as_float(Int<T> v) {
    Vec<T> out;
    memcpy(&out, &v, sizeof out);
    return out;
}

template <class T>
ELMAN_INLINE Int<T> as_int(Vec<T> v) {
    Int<T> out;
    memcpy(&out, &v, sizeof out);
    return out;
}

// The larger and the smaller of two; b where one is NaN. Written out, since the compiler takes twice as
// many instructions for it.
#if defined(__AVX512F__)
#define ELMAN_REGISTER(name) _mm512_##name
#elif defined(__AVX2__)
#define ELMAN_REGISTER(name) _mm256_##name
#endif
#if defined(ELMAN_REGISTER)
ELMAN_INLINE Vec<float> larger(Vec<float> a, Vec<float> b) { return ELMAN_REGISTER(max_ps)(a, b); }
ELMAN_INLINE Vec<float> smaller(Vec<float> a, Vec<float> b) { return ELMAN_REGISTER(min_ps)(a, b); }
ELMAN_INLINE Vec<double> larger(Vec<double> a, Vec<double> b) { return ELMAN_REGISTER(max_pd)(a, b); }
ELMAN_INLINE Vec<double> smaller(Vec<double> a, Vec<double> b) { return ELMAN_REGISTER(min_pd)(a, b); }
#else
template <class V>
ELMAN_INLINE V larger(V a, V b) {
    return a > b ? a : b;
}
template <class V>
ELMAN_INLINE V smaller(V a, V b) {
    return a < b ? a : b;
}
#endif

// 1/x for finite x that are not tiny: an estimate and one Newton step where division is slow.
template <class T>
ELMAN_INLINE Vec<T> quick_reciprocal(Vec<T> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        Vec<T> r = (Vec<T>)_mm512_rcp14_ps((__m512)x);
        return r * (T(2) - x * r);
    }
#endif
    return T(1) / x;
}

ELMAN_INLINE void relax() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

// A square of kLanes x kLanes, transposed in registers: each stage swaps blocks of half the size.
template <int... L>
struct Lanes {};
template <int N, int... L>
struct MakeLanes : MakeLanes<N - 1, N - 1, L...> {};
template <int... L>
struct MakeLanes<0, L...> {
    typedef Lanes<L...> type;
};

template <class T, int D, int... L>
ELMAN_INLINE void exchange(Vec<T>& low, Vec<T>& high, Lanes<L...>) {
    constexpr int N = kLanes<T>;
    const Int<T> first = {((L & D) ? L - D + N : L)...};
    const Int<T> second = {((L & D) ? L + N : L + D)...};
    Vec<T> a = low, b = high;
    low = __builtin_shuffle(a, b, first);
    high = __builtin_shuffle(a, b, second);
}

template <class T, int D>
ELMAN_INLINE void transpose_stages(Vec<T>* row) {
    if constexpr (D > 0) {
        ELMAN_UNROLL
        for (int i = 0; i < kLanes<T>; ++i)
            if (!(i & D)) exchange<T, D>(row[i], row[i + D], typename MakeLanes<kLanes<T>>::type());
        transpose_stages<T, D / 2>(row);
    }
}

// to[j * to_row + i] = from[i * from_row + j] for i < rows, j < columns; zeros for other i.
template <class T>
ELMAN_INLINE void transpose(const T* from, long from_row, int rows, int columns, T* to, long to_row) {
    Vec<T> row[kLanes<T>];
    ELMAN_UNROLL
    for (int i = 0; i < kLanes<T>; ++i) row[i] = i < rows ? load_some(from + i * from_row, columns) : Vec<T>{};
    transpose_stages<T, kLanes<T> / 2>(row);
    ELMAN_UNROLL
    for (int i = 0; i < kLanes<T>; ++i)
        if (i < columns) store(to + i * to_row, row[i]);
}

}  // namespace
}  // namespace elman
