//! The two CBOR structures of RFC 8613, written by hand: neither is ever read.

/// Additional data of the COSE object (RFC 8613 §5.4): `Enc_structure` around `aad_array`.
pub(crate) fn additional_data(algorithm: u8, kid: &[u8], partial_iv: &[u8]) -> Vec<u8> {
    // The COSE value of an algorithm takes one byte, and the identifiers are short, so the
    // lengths below need no more than the one-byte heads that `head` gives.
    let mut array = Vec::with_capacity(32);
    array.extend_from_slice(&[0x85, 0x01, 0x81, algorithm]);
    put_bytes(&mut array, kid);
    put_bytes(&mut array, partial_iv);
    // There are no Class I options.
    put_bytes(&mut array, &[]);
    let mut out = Vec::with_capacity(48);
    out.push(0x83);
    put_text(&mut out, "Encrypt0");
    put_bytes(&mut out, &[]);
    put_bytes(&mut out, &array);
    out
}

/// The `info` structure of the key derivation (RFC 8613 §3.2.1).
pub(crate) fn info(
    id: &[u8],
    id_context: Option<&[u8]>,
    algorithm: u8,
    kind: &str,
    length: u8,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.push(0x85);
    put_bytes(&mut out, id);
    match id_context {
        Some(context) => put_bytes(&mut out, context),
        None => out.push(0xF6),
    }
    out.push(algorithm);
    put_text(&mut out, kind);
    head(&mut out, 0x00, usize::from(length));
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, 0x40, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    head(out, 0x60, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// RFC 8949 §3: major type in the upper three bits of `major`, argument in its shortest form.
fn head(out: &mut Vec<u8>, major: u8, argument: usize) {
    match argument {
        0..24 => out.push(major | argument as u8),
        24..256 => out.extend_from_slice(&[major | 0x18, argument as u8]),
        _ => {
            debug_assert!(argument <= 0xFFFF, "identifiers are at most 255 bytes");
            out.push(major | 0x19);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
    }
}
