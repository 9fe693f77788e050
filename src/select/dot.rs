//! Sums of products of a query's directions with those of all tools, as many at once as the processor can do.

use pulp::Arch;

use super::table::PARTS;

/// The parts of a direction, as wide as their products.
pub(super) type Wide = [i16; PARTS];

/// Gives the sum of products of each row with each direction: the row's number, the direction's, the sum.
pub(super) fn dots(rows: &[[i8; PARTS]], directions: &[Wide], mut take: impl FnMut(usize, usize, i32)) {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(x86::Dots { simd, rows, directions, take });
    }
    Arch::new().dispatch(|| {
        for (number, row) in rows.iter().enumerate() {
            for (at, direction) in directions.iter().enumerate() {
                take(number, at, direction.iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum());
            }
        }
    });
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The same by hand for most processors of today, three times as fast as what the compiler makes of it: a row is
    //! widened once for all directions.

    use std::arch::x86_64::__m256i;

    use pulp::{NullaryFnOnce, cast, x86::V3};

    use super::{PARTS, Wide};

    /// The numbers that are multiplied at once.
    const WIDTH: usize = 16;

    pub(super) struct Dots<'a, F> {
        pub(super) simd: V3,
        pub(super) rows: &'a [[i8; PARTS]],
        pub(super) directions: &'a [Wide],
        pub(super) take: F,
    }

    impl<F: FnMut(usize, usize, i32)> NullaryFnOnce for Dots<'_, F> {
        type Output = ();

        #[inline(always)]
        #[expect(clippy::inline_always, reason = "its callers are compiled for these processors")]
        fn call(self) {
            let Self { simd, rows, directions, mut take } = self;
            let zero = cast::<_, __m256i>([0_i32; 8]);
            for (number, row) in rows.iter().enumerate() {
                let mut wide = [zero; PARTS / WIDTH];
                for (wide, parts) in wide.iter_mut().zip(row.as_chunks::<WIDTH>().0) {
                    *wide = simd.avx2._mm256_cvtepi8_epi16(cast(*parts));
                }
                for (at, direction) in directions.iter().enumerate() {
                    let parts = wide.iter().zip(direction.as_chunks::<WIDTH>().0);
                    let sums = parts.fold(zero, |sums, (wide, parts)| {
                        simd.avx2._mm256_add_epi32(sums, simd.avx2._mm256_madd_epi16(*wide, cast(*parts)))
                    });
                    let sums: [i32; 8] = cast(sums);
                    take(number, at, sums.iter().sum());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        let part = |seed: usize, at: usize| i8::try_from(i32::try_from(at * seed % 255).unwrap() - 127).unwrap();
        let row = |seed: usize| std::array::from_fn(|at| part(seed, at));
        let rows: Vec<[i8; PARTS]> = [3, 7, 255, 254, 31].map(row).to_vec();
        let directions: Vec<Wide> = [11, 255, 5].map(|seed| row(seed).map(i16::from)).to_vec();
        let mut found = Vec::new();
        dots(&rows, &directions, |row, direction, sum| found.push((row, direction, sum)));
        let product = |(a, b): (&i8, &i16)| i32::from(*a) * i32::from(*b);
        let wanted = rows.iter().enumerate().flat_map(|(number, row)| {
            directions
                .iter()
                .enumerate()
                .map(move |(at, it)| (number, at, row.iter().zip(it).map(product).sum::<i32>()))
        });
        assert_eq!(found, wanted.collect::<Vec<_>>());
    }
}
