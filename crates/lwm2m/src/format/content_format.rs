//! The numbers of the payload formats.

use std::fmt;

/// The number of a payload format (CoAP Content-Format and Accept).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain`: one value as text.
    pub const TEXT: Self = Self(0);
    /// `application/link-format`: lists of objects, see [`crate::link`].
    pub const LINK: Self = Self(40);
    /// `application/octet-stream`: one opaque value.
    pub const OPAQUE: Self = Self(42);
    /// `application/cbor`: one value.
    pub const CBOR: Self = Self(60);
    /// `application/senml+json`.
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor`.
    pub const SENML_CBOR: Self = Self(112);
    /// `application/senml-etch+json`: lists of paths and patches, see
    /// [`encode_paths`](super::encode_paths) and [`encode_patch`](super::encode_patch).
    pub const SENML_ETCH_JSON: Self = Self(320);
    /// `application/senml-etch+cbor`: as [`ContentFormat::SENML_ETCH_JSON`].
    pub const SENML_ETCH_CBOR: Self = Self(322);
    /// `application/vnd.oma.lwm2m+tlv`.
    pub const TLV: Self = Self(11_542);
    /// `application/vnd.oma.lwm2m+json` of LwM2M 1.0.
    pub const JSON: Self = Self(11_543);
    /// `application/vnd.oma.lwm2m+cbor` of LwM2M 1.2.
    pub const LWM2M_CBOR: Self = Self(11_544);

    /// The registered number of a format that early LwM2M 1.0 clients number differently.
    #[must_use]
    pub const fn canonical(self) -> Self {
        match self.0 {
            1_541 => Self::TEXT,
            1_542 => Self::TLV,
            1_543 => Self::JSON,
            1_544 => Self::OPAQUE,
            _ => self,
        }
    }

    /// A short name, fit for a metric label; `None` if the format is none of LwM2M.
    pub const fn name(self) -> Option<&'static str> {
        match self.canonical() {
            Self::TEXT => Some("text"),
            Self::LINK => Some("link-format"),
            Self::OPAQUE => Some("opaque"),
            Self::CBOR => Some("cbor"),
            Self::SENML_JSON => Some("senml-json"),
            Self::SENML_CBOR => Some("senml-cbor"),
            Self::SENML_ETCH_JSON => Some("senml-etch-json"),
            Self::SENML_ETCH_CBOR => Some("senml-etch-cbor"),
            Self::TLV => Some("tlv"),
            Self::JSON => Some("json"),
            Self::LWM2M_CBOR => Some("lwm2m-cbor"),
            _ => None,
        }
    }

    /// Whether [`decode`](super::decode) and [`encode`](super::encode) can carry more than one value in this format.
    pub const fn is_structured(self) -> bool {
        matches!(
            self.canonical(),
            Self::SENML_JSON | Self::SENML_CBOR | Self::TLV | Self::JSON | Self::LWM2M_CBOR
        )
    }
}

impl From<u16> for ContentFormat {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

impl fmt::Debug for ContentFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentFormat({self})")
    }
}
