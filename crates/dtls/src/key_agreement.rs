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
    /// Most preferred first: devices have P-256 in hardware more often.
    const PREFERENCE: [Self; 2] = [Self::Secp256r1, Self::X25519];
    /// The content of our client's supported_groups.
    pub(crate) const OFFER: [u8; 6] = [0, 4, 0, 23, 0, 29];

    const fn code(self) -> u16 {
        match self {
            Self::Secp256r1 => 23,
            Self::X25519 => 29,
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        Self::PREFERENCE
            .into_iter()
            .find(|group| group.code() == code)
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

    /// The group to use with a client whose supported_groups extension has this content. RFC 8422
    /// §4: a client without the extension takes any; the one that every client has is P-256.
    pub(crate) fn choose(supported: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        let Some(supported) = supported else {
            return Ok(Some(Self::Secp256r1));
        };
        let mut reader = Reader::new(supported);
        let list = reader.vec16()?;
        reader.finish()?;
        Ok(Self::PREFERENCE.into_iter().find(|group| {
            list.chunks_exact(2)
                .any(|code| code == group.code().to_be_bytes())
        }))
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
        for group in NamedGroup::PREFERENCE {
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
    fn the_group_is_one_that_the_client_has() {
        let choose = |bytes: &[u8]| NamedGroup::choose(Some(bytes)).unwrap();
        assert_eq!(choose(&NamedGroup::OFFER), Some(NamedGroup::Secp256r1));
        assert_eq!(choose(&[0, 4, 0, 24, 0, 29]), Some(NamedGroup::X25519));
        assert_eq!(choose(&[0, 2, 0, 24]), None);
        assert!(NamedGroup::choose(Some(&[0, 3, 0])).is_err());
        assert_eq!(NamedGroup::choose(None), Ok(Some(NamedGroup::Secp256r1)));
    }
}
