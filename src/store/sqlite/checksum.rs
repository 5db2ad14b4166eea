//! What tells a row that the disk changed from one that was written so.

use crate::message::UserId;

/// 64 bits of BLAKE3 over what a row says, part by part.
pub(in crate::store) struct Checksum(blake3::Hasher);

impl Checksum {
    pub(in crate::store) fn new() -> Self {
        Self(blake3::Hasher::new())
    }

    /// A text with its length, so that it cannot pass for two.
    pub(in crate::store) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    pub(in crate::store) fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(in crate::store) fn user(&mut self, user: UserId) {
        self.0.update(user.as_bytes());
    }

    pub(in crate::store) fn finish(&self) -> i64 {
        let mut sum = [0; 8];
        self.0.finalize_xof().fill(&mut sum);
        i64::from_le_bytes(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stay_what_they_are_on_the_disks_of_others() {
        let mut sum = Checksum::new();
        sum.text("ab");
        sum.number(258);
        sum.user(UserId::from_bytes([7; 16]));
        let bytes = [&[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 2, 1, 0, 0, 0, 0, 0, 0][..], &[7; 16]].concat();
        assert_eq!(sum.finish().to_le_bytes(), blake3::hash(&bytes).as_bytes()[..8]);
    }
}
