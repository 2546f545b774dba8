#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use ccm::aead::generic_array::GenericArray;
use ccm::{AeadInPlace as _, KeyInit as _};

use super::*;
use crate::protection::aead::Aes128Ccm8;
use crate::record::split_first;

const BLOCK: [u8; 40] = {
    let mut block = [0; 40];
    let mut i = 0;
    while i < 40 {
        block[i] = i as u8;
        i += 1;
    }
    block
};

fn keys(role: Role) -> RecordKeys {
    RecordKeys::from_key_block(CipherSuite::PskAes128Ccm8, role, &BLOCK).unwrap()
}

fn sealed(cid: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let outgoing = Outgoing {
        content_type: ContentType::ApplicationData,
        epoch: 1,
        sequence: 0x0102_0304_0506,
        cid,
    };
    keys(Role::Client).seal(outgoing, content, &mut out);
    out
}

#[test]
fn additional_data_with_a_connection_id_follows_rfc_9146() {
    let mut aad = AdditionalData::new();
    aad.describe(
        ContentType::Tls12Cid,
        VERSION,
        1,
        0x1122_3344_5566,
        &[0xAA, 0xBB, 0xCC],
        5,
    )
    .unwrap();
    let expected = [
        &[0xFF; 8][..],                        // seq_num_placeholder
        &[25],                                 // tls12_cid
        &[3],                                  // cid_length
        &[25],                                 // tls12_cid
        &[0xFE, 0xFD],                         // DTLSCiphertext.version
        &[0x00, 0x01],                         // epoch
        &[0x11, 0x22, 0x33, 0x44, 0x55, 0x66], // sequence_number
        &[0xAA, 0xBB, 0xCC],                   // cid
        &[0x00, 0x05],                         // length_of_DTLSInnerPlaintext
    ]
    .concat();
    assert_eq!(aad.as_slice(), expected);
}

#[test]
fn additional_data_without_a_connection_id_follows_rfc_5246() {
    let mut aad = AdditionalData::new();
    aad.describe(ContentType::Alert, VERSION, 1, 7, &[], 2)
        .unwrap();
    let expected = [0, 1, 0, 0, 0, 0, 0, 7, 21, 0xFE, 0xFD, 0, 2];
    assert_eq!(aad.as_slice(), expected);
}

/// Seals by hand with nothing but the cipher, from the text of the RFC.
#[test]
fn a_record_with_a_connection_id_has_the_layout_of_rfc_9146() {
    let cid = [1, 2, 3, 4, 5, 6, 7, 8];
    let record = sealed(&cid, b"hi");
    assert_eq!(record[0], 25);
    assert_eq!(record[1..3], [0xFE, 0xFD]);
    assert_eq!(record[3..11], [0, 1, 1, 2, 3, 4, 5, 6]);
    assert_eq!(record[11..19], cid);
    assert_eq!(record[19..21], [0, 8 + 3 + 8]);
    assert_eq!(record.len(), 21 + 19);

    let mut inner = [b'h', b'i', 23];
    let mut aad = vec![0xFF; 8];
    aad.extend([25, 8, 25, 0xFE, 0xFD, 0, 1, 1, 2, 3, 4, 5, 6]);
    aad.extend(cid);
    aad.extend([0, 3]);
    let mut nonce = BLOCK[32..36].to_vec();
    nonce.extend(&record[21..29]);
    let tag = Aes128Ccm8::new(GenericArray::from_slice(&BLOCK[..16]))
        .encrypt_in_place_detached(GenericArray::from_slice(&nonce), &aad, &mut inner)
        .unwrap();
    assert_eq!(record[29..32], inner);
    assert_eq!(record[32..], tag[..]);
}

#[test]
fn either_layout_opens_and_any_flipped_bit_does_not() {
    for cid in [&[][..], &[9; 8]] {
        let whole = sealed(cid, b"payload");
        let mut copy = whole.clone();
        let (record, rest) = split_first(&mut copy, cid.len()).unwrap();
        assert!(rest.is_empty());
        let opened = keys(Role::Server).open(record).unwrap();
        assert_eq!(opened.content_type, ContentType::ApplicationData);
        assert_eq!(opened.content, b"payload");
        for bit in 0..whole.len() * 8 {
            let mut copy = whole.clone();
            copy[bit / 8] ^= 1 << (bit % 8);
            if let Some((record, _)) = split_first(&mut copy, cid.len()) {
                assert!(keys(Role::Server).open(record).is_none(), "bit {bit}");
            }
        }
    }
}

#[test]
fn padding_of_the_inner_plaintext_is_stripped() {
    let opened = unwrap_inner(ContentType::Tls12Cid, &[7, 0, 23, 0, 0]).unwrap();
    assert_eq!(opened.content_type, ContentType::ApplicationData);
    assert_eq!(opened.content, [7, 0]);
    assert!(unwrap_inner(ContentType::Tls12Cid, &[0, 0]).is_none());
    assert!(unwrap_inner(ContentType::Tls12Cid, &[]).is_none());
    assert!(unwrap_inner(ContentType::Tls12Cid, &[1, 25]).is_none());
}

/// Opens by hand with nothing but HMAC and the block cipher, from the text of the RFCs.
#[test]
fn a_block_cipher_record_has_the_layout_of_rfc_9146_and_rfc_7366() {
    use aes::cipher::BlockDecrypt as _;
    use aws_lc_rs::hmac;

    let block: Vec<u8> = (0..96).collect();
    let suite = CipherSuite::PskAes128CbcSha256;
    let client = RecordKeys::from_key_block(suite, Role::Client, &block).unwrap();
    for cid in [&[][..], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        let mut record = Vec::new();
        let outgoing = Outgoing {
            content_type: ContentType::ApplicationData,
            epoch: 1,
            sequence: 0x0102_0304_0506,
            cid,
        };
        client.seal(outgoing, b"hello", &mut record);
        let header = 13 + cid.len();
        assert_eq!(record.len(), header + 16 + 16 + 32);
        let (sealed, mac) = record[header..].split_at(32);

        let mut authenticated = Vec::new();
        if cid.is_empty() {
            authenticated.extend([0, 1, 1, 2, 3, 4, 5, 6, 23, 0xFE, 0xFD]);
        } else {
            authenticated.extend([0xFF; 8]);
            authenticated.extend([25, 8, 25, 0xFE, 0xFD, 0, 1, 1, 2, 3, 4, 5, 6]);
            authenticated.extend(cid);
        }
        authenticated.extend([0, 32]);
        authenticated.extend(sealed);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &block[..32]);
        assert!(hmac::verify(&key, &authenticated, mac).is_ok());

        let mut plain = aes::Block::clone_from_slice(&sealed[16..]);
        aes::Aes128Dec::new(GenericArray::from_slice(&block[64..80])).decrypt_block(&mut plain);
        let plain: Vec<u8> = plain.iter().zip(sealed).map(|(a, b)| a ^ b).collect();
        let inner: &[u8] = if cid.is_empty() {
            b"hello"
        } else {
            b"hello\x17"
        };
        let padding = 16 - inner.len();
        let expected = [inner, &vec![padding as u8 - 1; padding]].concat();
        assert_eq!(plain, expected);
    }
}

#[test]
fn a_flipped_bit_spoils_a_record_of_every_suite() {
    for &suite in CipherSuite::ALL {
        let block: Vec<u8> = (0..RecordKeys::length(suite) as u8).collect();
        let keys = |role| RecordKeys::from_key_block(suite, role, &block).unwrap();
        assert!(RecordKeys::from_key_block(suite, Role::Client, &block[1..]).is_none());
        let mut restored = Vec::new();
        keys(Role::Server).put_key_block(&mut restored);
        assert_eq!(restored, block);
        for cid in [&[][..], &[9; 8]] {
            let mut whole = Vec::new();
            let outgoing = Outgoing {
                content_type: ContentType::ApplicationData,
                epoch: 1,
                sequence: 3,
                cid,
            };
            keys(Role::Client).seal(outgoing, b"payload", &mut whole);
            assert!(whole.len() - 7 <= keys(Role::Client).overhead(cid));
            let mut copy = whole.clone();
            let (record, _) = split_first(&mut copy, cid.len()).unwrap();
            assert_eq!(keys(Role::Server).open(record).unwrap().content, b"payload");
            for bit in 0..whole.len() * 8 {
                let mut copy = whole.clone();
                copy[bit / 8] ^= 1 << (bit % 8);
                if let Some((record, _)) = split_first(&mut copy, cid.len()) {
                    assert!(keys(Role::Server).open(record).is_none(), "{suite:?} {bit}");
                }
            }
        }
    }
}
