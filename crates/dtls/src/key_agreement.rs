//! Ephemeral Diffie-Hellman on elliptic curves (RFC 8422 §5).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::random::Random;
use crate::wire::{Malformed, Reader, put_u16, put_vec8};

/// RFC 8422 §5.4: `named_curve`.
const NAMED_CURVE: u8 = 3;
/// RFC 8422 §5.4.1: the first byte of an uncompressed point.
const UNCOMPRESSED: u8 = 4;

/// A curve for ephemeral keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedGroup {
    Secp256r1,
    X25519,
}

impl NamedGroup {
    const ALL: [Self; 2] = [Self::Secp256r1, Self::X25519];
    /// The content of our client's supported_groups.
    pub(crate) const OFFER: [u8; 6] = [0, 4, 0, 23, 0, 29];

    const fn code(self) -> u16 {
        match self {
            Self::Secp256r1 => 23,
            Self::X25519 => 29,
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.code() == code)
    }

    const fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::Secp256r1 => &agreement::ECDH_P256,
            Self::X25519 => &agreement::X25519,
        }
    }

    fn is_point(self, point: &[u8]) -> bool {
        match self {
            Self::Secp256r1 => point.len() == 65 && point[0] == UNCOMPRESSED,
            Self::X25519 => point.len() == 32,
        }
    }

    /// Those of a client's supported_groups extension that we have, in its order. RFC 8422 §4: a
    /// client without the extension takes any; the one that every client has is P-256.
    pub(crate) fn supported(extension: Option<&[u8]>) -> Result<Vec<Self>, Malformed> {
        let Some(extension) = extension else {
            return Ok(vec![Self::Secp256r1]);
        };
        let mut reader = Reader::new(extension);
        let list = reader.vec16()?;
        reader.finish()?;
        let codes = list
            .chunks_exact(2)
            .map(|code| u16::from_be_bytes([code[0], code[1]]));
        Ok(codes.filter_map(Self::from_code).collect())
    }
}

/// An ephemeral public key with its curve: `ServerECDHParams`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicPoint {
    pub(crate) group: NamedGroup,
    pub(crate) point: Vec<u8>,
}

impl PublicPoint {
    /// `None` for a curve that was not offered, or a point in another form than ours.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let kind = reader.u8()?;
        let code = reader.u16()?;
        let point = reader.vec8()?;
        let group = NamedGroup::from_code(code)
            .filter(|group| kind == NAMED_CURVE && group.is_point(point));
        Ok(group.map(|group| Self {
            group,
            point: point.to_vec(),
        }))
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(NAMED_CURVE);
        put_u16(out, self.group.code());
        put_vec8(out, &self.point);
    }
}

/// The result of an agreement. Wiped when dropped.
pub(crate) type SharedSecret = Zeroizing<Vec<u8>>;

/// An ephemeral key pair of one handshake.
pub(crate) struct EphemeralKey {
    private: PrivateKey,
    public: PublicPoint,
}

impl EphemeralKey {
    /// Draws the key from the engine's own generator.
    pub(crate) fn generate(group: NamedGroup, random: &mut Random) -> Self {
        loop {
            let bytes = Zeroizing::new(random.bytes::<32>());
            // One number in 2^32 is not below the order of P-256; then the next one is taken.
            let Ok(private) = PrivateKey::from_private_key(group.algorithm(), &*bytes) else {
                continue;
            };
            if let Ok(point) = private.compute_public_key() {
                let point = point.as_ref().to_vec();
                let public = PublicPoint { group, point };
                return Self { private, public };
            }
        }
    }

    pub(crate) const fn public(&self) -> &PublicPoint {
        &self.public
    }

    /// `None` when the peer's point is not one of the curve.
    pub(crate) fn agree(&self, point: &[u8]) -> Option<SharedSecret> {
        let group = self.public.group;
        if !group.is_point(point) {
            return None;
        }
        let peer = UnparsedPublicKey::new(group.algorithm(), point);
        agreement::agree(&self.private, peer, (), |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn both_ends_agree_and_bad_points_do_not() {
        let mut random = Random::from_seed([7; 32]);
        for group in NamedGroup::ALL {
            let (a, b) = (
                EphemeralKey::generate(group, &mut random),
                EphemeralKey::generate(group, &mut random),
            );
            let mut bytes = Vec::new();
            a.public().put(&mut bytes);
            let read = PublicPoint::read(&mut Reader::new(&bytes))
                .unwrap()
                .unwrap();
            assert_eq!(&read, a.public());
            let secret = b.agree(&read.point).unwrap();
            assert_eq!(secret, a.agree(&b.public().point).unwrap());
            assert_eq!(secret.len(), 32);
            assert!(a.agree(&vec![0; read.point.len()]).is_none());
            assert!(a.agree(&read.point[1..]).is_none());
            let mut bent = read.point.clone();
            bent[0] = 2;
            assert!(group == NamedGroup::X25519 || a.agree(&bent).is_none());
        }
    }

    #[test]
    fn the_groups_of_a_client_are_in_its_order() {
        let supported = |bytes: &[u8]| NamedGroup::supported(Some(bytes));
        assert_eq!(supported(&NamedGroup::OFFER), Ok(NamedGroup::ALL.to_vec()));
        let list = [0, 6, 0, 29, 0, 24, 0, 23];
        let reversed = vec![NamedGroup::X25519, NamedGroup::Secp256r1];
        assert_eq!(supported(&list), Ok(reversed));
        assert_eq!(supported(&[0, 2, 0, 24]), Ok(vec![]));
        assert!(supported(&[0, 3, 0]).is_err());
        let fallback = NamedGroup::supported(None);
        assert_eq!(fallback, Ok(vec![NamedGroup::Secp256r1]));
    }
}
