//! Chance that a seed decides.

/// A stream of numbers: `SplitMix64`, small and the same everywhere (Steele, Lea and Flood, *Fast splittable
/// pseudorandom number generators*, 2014). Not for secrets.
#[derive(Clone)]
pub(super) struct Chance(u64);

impl Chance {
    /// The stream of this seed and name; streams do not depend on each other.
    pub(super) fn new(seed: u64, name: &[u64]) -> Self {
        let mut chance = Self(seed);
        for part in name {
            chance.0 = chance.next() ^ part.wrapping_mul(0xd134_2543_de82_ef95);
        }
        chance
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A whole number from `low` to `high`, both included; `low` where `high` is smaller.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs() + 1;
        let step = i64::try_from(self.next() % span).unwrap_or(0);
        low + step
    }

    /// Whether something happens that does so this many times in a thousand.
    pub(super) fn happens(&mut self, permille: u64) -> bool {
        self.next() % 1_000 < permille
    }

    /// One of several.
    ///
    /// # Panics
    /// There is none to pick from.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let count = from.len() as u64;
        let index = usize::try_from(self.next() % count).unwrap_or(0);
        &from[index]
    }

    /// So many digits.
    pub(super) fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'0' + u8::try_from(self.next() % 10).unwrap_or(0)))
            .collect()
    }

    /// A UUID of version 4 (RFC 9562, section 5.4).
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let high = (high & !0xf000) | 0x4000;
        let low = (low & (u64::MAX >> 2)) | (1 << 63);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_name_only() {
        let first = |seed, name: &[u64]| Chance::new(seed, name).next();

        assert_eq!(first(1, &[2, 3]), first(1, &[2, 3]));
        assert_ne!(first(1, &[2, 3]), first(1, &[3, 2]));
        assert_ne!(first(1, &[2]), first(2, &[2]));
    }

    #[test]
    fn numbers_stay_between_their_ends() {
        let mut chance = Chance::new(1, &[]);
        let mut seen = [false; 3];

        for _ in 0..100 {
            let number = chance.between(-1, 1);
            seen[usize::try_from(number + 1).expect("from -1")] = true;
        }

        assert_eq!(seen, [true; 3]);
        assert_eq!(chance.between(5, 4), 5);
        let uuid = chance.uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    }
}
