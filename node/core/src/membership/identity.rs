//! What `init` draws for a node, and the keys that open what is sealed to it.

use crate::{
    crypto::{SecretKey, SigningKey},
    types::{Incarnation, MemberId, NodeKey, Span, Timestamp, limits::KEY_SET_LIFE},
};

use super::Organization;

/// How old an opening key grows before the next takes its place: half a key set's life, so that a
/// key set naming it is never close to its end.
const ROTATE_AFTER: Span = Span(KEY_SET_LIFE.0 / 2);
/// How long an old private key is kept after the last key set naming it has expired (protocol.md 1).
const KEEP_AFTER: Span = Span::hours(24);

/// A private key that opens what is sealed to this node.
#[derive(Clone)]
pub struct StoredOpeningKey {
    /// The private key.
    pub private: SecretKey,
    /// When it was drawn.
    pub created: Timestamp,
}

/// Who a node is, as its sealed `identity` file has it.
#[derive(Clone)]
pub struct StoredIdentity {
    /// The member id.
    pub member: MemberId,
    /// Seed of the node key.
    pub node_seed: SecretKey,
    /// Seed of the key that signs audit checkpoints.
    pub audit_seed: SecretKey,
    /// Seed of the key that signs as an authority.
    pub authority_seed: SecretKey,
    /// The organisation.
    pub organization: Organization,
    /// Newest first.
    pub opening: Vec<StoredOpeningKey>,
    /// Seed of the node key that is to follow, once authorities have signed a credential for it.
    pub next_node_seed: Option<SecretKey>,
    /// Raised by each restore, so that of two copies of a node the later one is known.
    pub incarnation: Incarnation,
}

impl StoredIdentity {
    /// Whether a new opening key is due, because there is none or the newest is too old.
    pub fn rotation_due(&self, now: Timestamp) -> bool {
        self.opening
            .first()
            .is_none_or(|newest| now.since(newest.created) >= ROTATE_AFTER)
    }

    /// Destroys the keys whose last key set expired a day ago, and says whether there were any.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.opening.len();
        // A key may be named by a key set signed up to the moment its successor was drawn.
        let successors: Vec<Timestamp> = std::iter::once(now)
            .chain(self.opening.iter().map(|key| key.created))
            .collect();
        let mut successor = successors.into_iter();
        self.opening.retain(|_| {
            successor
                .next()
                .is_some_and(|next| now < next.plus(KEY_SET_LIFE).plus(KEEP_AFTER))
        });
        self.opening.len() < before
    }

    /// Becomes another copy of the node than every one before it: with a higher incarnation, and an
    /// opening key that no earlier copy has.
    pub fn reincarnate(&mut self, private: SecretKey, now: Timestamp) {
        self.incarnation = self.incarnation.next(now);
        self.rotate(private, now);
    }

    /// Goes over to the next node key where a credential names it, and says whether it does.
    pub fn take_next_key(&mut self, named: Option<NodeKey>) -> bool {
        let granted = self.next_node_seed.clone().filter(|seed| {
            let key = SigningKey::from_seed(seed).public();
            named == Some(NodeKey(key))
        });
        let Some(seed) = granted else {
            return false;
        };
        self.node_seed = seed;
        self.next_node_seed = None;
        true
    }

    /// Puts a new opening key first and destroys those whose last key set expired a day ago.
    pub fn rotate(&mut self, private: SecretKey, now: Timestamp) {
        self.expire(now);
        self.opening.insert(
            0,
            StoredOpeningKey {
                private,
                created: now,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Kind;

    #[test]
    fn an_old_key_is_destroyed_a_day_after_its_last_key_set_without_a_rotation() {
        let mut identity = identity();
        let start = Timestamp(1_800_000_000_000);
        identity.opening.clear();
        identity.rotate(SecretKey::new([1; 32]), start);
        let rotated = start.plus(ROTATE_AFTER);
        identity.rotate(SecretKey::new([2; 32]), rotated);
        let end = rotated.plus(KEY_SET_LIFE).plus(KEEP_AFTER);
        assert!(!identity.expire(end.minus(Span(1))));
        assert_eq!(identity.opening.len(), 2);

        assert!(identity.expire(end));

        assert_eq!(identity.opening.len(), 1);
        assert_eq!(identity.opening[0].created, rotated);
    }

    fn identity() -> StoredIdentity {
        StoredIdentity {
            member: MemberId([1; 16]),
            node_seed: SecretKey::new([1; 32]),
            audit_seed: SecretKey::new([2; 32]),
            authority_seed: SecretKey::new([3; 32]),
            organization: Organization {
                name: "Cedar Clinic".to_owned(),
                kind: Kind::Clinic,
                npi: String::new(),
                oid: String::new(),
                address: String::new(),
                contact: String::new(),
                phone: String::new(),
                hours: String::new(),
                state: String::new(),
                part2: false,
                test: true,
            },
            opening: Vec::new(),
            next_node_seed: None,
            incarnation: Incarnation::default(),
        }
    }

    #[test]
    fn a_restored_copy_is_higher_than_every_one_before_it_also_with_a_clock_behind() {
        let backup = identity();
        let restored = |from: &StoredIdentity, now| {
            let mut identity = from.clone();
            identity.reincarnate(SecretKey::new([7; 32]), Timestamp(now));
            identity
        };

        let first = restored(&backup, 1_000);
        let second = restored(&backup, 2_000);
        let behind = restored(&second, 500);

        assert!(backup.incarnation < first.incarnation);
        assert!(first.incarnation < second.incarnation);
        assert!(second.incarnation < behind.incarnation);
        assert_eq!(first.opening[0].private[0], 7);
    }

    #[test]
    fn the_next_node_key_is_taken_once_a_credential_names_it() {
        let mut identity = identity();
        let next = SecretKey::new([9; 32]);
        let key = NodeKey(SigningKey::from_seed(&next).public());
        identity.next_node_seed = Some(next);

        assert!(!identity.take_next_key(None));
        assert!(!identity.take_next_key(Some(NodeKey([1; 32]))));
        assert_eq!(identity.node_seed[0], 1);
        assert!(identity.take_next_key(Some(key)));
        assert_eq!(identity.node_seed[0], 9);
        assert!(!identity.take_next_key(Some(key)), "there is no other");
    }

    #[test]
    fn an_opening_key_is_followed_at_half_a_key_set_and_destroyed_a_day_after_its_last() {
        let start = Timestamp(1_800_000_000_000);
        let mut identity = identity();
        assert!(identity.rotation_due(start));

        identity.rotate(SecretKey::new([7; 32]), start);

        assert!(!identity.rotation_due(start.plus(Span(ROTATE_AFTER.0 - 1))));
        let second = start.plus(ROTATE_AFTER);
        assert!(identity.rotation_due(second));
        identity.rotate(SecretKey::new([8; 32]), second);
        assert_eq!(identity.opening.len(), 2);
        let late = second.plus(KEY_SET_LIFE).plus(KEEP_AFTER);
        identity.rotate(SecretKey::new([9; 32]), late.minus(Span(1)));
        assert_eq!(identity.opening.len(), 3, "the first may still be needed");
        identity.rotate(SecretKey::new([10; 32]), late);
        let kept: Vec<u8> = identity.opening.iter().map(|key| key.private[0]).collect();
        assert_eq!(kept, [10, 9, 8]);
    }
}
