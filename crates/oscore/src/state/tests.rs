#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;

fn state() -> impl Strategy<Value = ContextState> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..=max);
    (
        any::<bool>(),
        bytes(6),
        bytes(6),
        proptest::option::of(bytes(255)),
        any::<u16>(),
        proptest::option::of((0..=1_u64 << 40, any::<u64>())),
    )
        .prop_filter_map(
            "distinct ids",
            |(gcm, sender, recipient, context, generation, window)| {
                let algorithm = if gcm {
                    Algorithm::A128Gcm
                } else {
                    Algorithm::AesCcm16_64_128
                };
                let provisioned = ContextState::provision(&Secrets {
                    algorithm,
                    master_secret: b"secret",
                    master_salt: &[],
                    id_context: context.as_deref(),
                    sender_id: &sender,
                    recipient_id: &recipient,
                });
                Some(ContextState {
                    generation,
                    window: window.map(|(next, seen)| {
                        ReplayWindow::restore(next, if next == 0 { 0 } else { seen })
                    }),
                    ..provisioned.ok()?
                })
            },
        )
}

proptest! {
    #[test]
    fn a_state_reads_as_it_was_written(state in state()) {
        prop_assert_eq!(ContextState::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn what_can_be_read_is_written_back_the_same(
        state in state(),
        position in any::<prop::sample::Index>(),
        flip in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = state.encode().to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(read) = ContextState::decode(&bytes) {
            prop_assert_eq!(&*read.encode(), &bytes);
        }
        prop_assert!(ContextState::decode(&state.encode()[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = ContextState::decode(&bytes);
    }
}

#[test]
fn the_first_layout_never_changes() {
    let state = ContextState {
        generation: 0x0102,
        ..ContextState::never_used(&Secrets {
            algorithm: Algorithm::AesCcm16_64_128,
            master_secret: &hex::decode("0102030405060708090a0b0c0d0e0f10").unwrap(),
            master_salt: &hex::decode("9e7ca92223786340").unwrap(),
            id_context: Some(b"ctx"),
            sender_id: &[],
            recipient_id: &[1],
        })
        .unwrap()
    };
    let bytes = hex::encode(&*state.encode());
    assert_eq!(
        &bytes[..bytes.len() - 90],
        "010a0102030000000000000000000000000000000000010103637478"
    );
    assert_eq!(bytes.len(), 2 * (28 + 16 + 16 + 13));
}

#[test]
fn a_claim_needs_a_higher_generation_and_forgets_the_window() {
    let state = ContextState::never_used(&Secrets {
        algorithm: Algorithm::AesCcm16_64_128,
        master_secret: b"secret",
        master_salt: &[],
        id_context: None,
        sender_id: &[],
        recipient_id: &[1],
    })
    .unwrap();
    let claimed = state.claim(3).unwrap();
    assert_eq!((claimed.generation(), claimed.window), (3, None));
    let stale = ImportError::StaleGeneration {
        given: 3,
        exported: 3,
    };
    assert_eq!(claimed.claim(3), Err(stale));
    assert!(claimed.into_context(3).is_err());
}
