//! What devices prove themselves by.

use crd::reference::ObjectReference;
use device_state::CredentialId;

use super::*;
use crate::secrets::Secret;

const PSK: &[(&str, &[u8])] = &[("identity", b"meter"), ("key", b"0123456789abcdef")];

/// A device that takes its credential from the Secret k.
fn declared() -> Device {
    let mut device = managed(&[]);
    let name = "k".to_owned();
    device.spec.credential_secret_ref = Some(ObjectReference { name });
    device
}

fn among(version: &str, entries: &[(&str, &[u8])]) -> Surroundings {
    let entries = entries.iter();
    let entries = entries.map(|(key, value)| ((*key).to_owned(), value.to_vec()));
    let secret = Secret::Held {
        version: version.to_owned(),
        entries: entries.collect(),
    };
    Surroundings {
        secrets: [("k".to_owned(), secret)].into_iter().collect(),
        ..Surroundings::default()
    }
}

fn holding(identities: &[(&str, &str)]) -> Observed {
    let one = |(identity, etag): &(&str, &str)| StoredCredential {
        id: CredentialId::PskIdentity(identity.as_bytes().to_vec()),
        etag: (*etag).to_owned(),
        version: None,
    };
    Observed {
        credentials: identities.iter().map(one).collect(),
        ..registered("U")
    }
}

fn planned_among(device: &Device, around: &Surroundings, observed: &Observed) -> Plan {
    plan(device, around, observed, &at(1000))
}

/// `identity version etag` of each in the status.
fn told(plan: &Plan) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let credentials = plan.status.credentials.iter();
    let told = credentials.map(|one| {
        let (version, etag) = (or_none(&one.secret_version), or_none(&one.etag));
        format!("{} {version} {etag}", one.identity)
    });
    told.collect()
}

/// What an entry makes of the Secret.
fn proof(entries: &[(&str, &[u8])]) -> Result<Proof, String> {
    let plan = planned_among(&declared(), &among("1", entries), &Observed::default());
    match plan.actions.first() {
        Some(Action::AddCredential(wanted)) => Ok(wanted.proof.clone()),
        _ => Err(message(&plan, "Accepted")),
    }
}

#[test]
fn what_a_device_proves_itself_by_is_stored_and_then_left_alone() {
    let around = among("7", PSK);
    let first = planned_among(&declared(), &around, &holding(&[]));
    assert_eq!(sent(&first), ["+meter@7"]);
    assert_eq!(told(&first), ["meter - -"]);
    // Nothing is done before the status says whose it is.
    let claimed = claim(&declared(), &first).unwrap();
    let mut device = declared();
    device.status = Some(claimed);
    assert_eq!(claim(&device, &first), None);
    // As it was stored just now.
    let mut observed = holding(&[("meter", "e1")]);
    for one in &mut observed.credentials {
        one.version = Some("7".to_owned());
    }
    let second = planned_among(&device, &around, &observed);
    assert!(second.actions.is_empty());
    assert_eq!(told(&second), ["meter 7 e1"]);
    // As it stands from then on.
    let device = with_status(device, &second);
    let third = planned_among(&device, &around, &holding(&[("meter", "e1")]));
    assert!(third.actions.is_empty());
    assert_eq!(third.status_change(&device), None);
}

#[test]
fn another_version_of_the_secret_is_stored_and_so_is_one_that_went_or_was_replaced() {
    let device = with_status(
        declared(),
        &planned_among(&declared(), &among("7", PSK), &holding(&[])),
    );
    let mut device = device;
    let known = &mut device.status.as_mut().unwrap().credentials[0];
    (known.secret_version, known.etag) = (Some("7".to_owned()), Some("e1".to_owned()));
    let plan_of = |version, held: &[(&str, &str)]| {
        sent(&planned_among(
            &device,
            &among(version, PSK),
            &holding(held),
        ))
    };
    assert!(plan_of("7", &[("meter", "e1")]).is_empty());
    assert_eq!(plan_of("8", &[("meter", "e1")]), ["+meter@8"]);
    assert_eq!(plan_of("7", &[]), ["+meter@7"]);
    assert_eq!(plan_of("7", &[("meter", "e2")]), ["+meter@7"]);
    // The one before goes, whatever an old list says; the state tier leaves one alone that somebody else has put there.
    let around = among("8", &[("identity", b"other"), ("key", b"k")]);
    for held in [&[("meter", "e1")][..], &[("meter", "e2")], &[]] {
        let plan = planned_among(&device, &around, &holding(held));
        assert_eq!(sent(&plan), ["+other@8", "-meter e1"]);
        assert_eq!(told(&plan), ["other - -", "meter 7 e1"]);
    }
    let mut gone = holding(&[("meter", "e1")]);
    gone.revoked = vec![CredentialId::PskIdentity(b"meter".to_vec())];
    let plan = planned_among(&device, &around, &gone);
    assert_eq!(told(&plan), ["other - -"]);
}

/// Whether the object has stored anything is not known before it was told so.
#[test]
fn what_was_there_before_is_not_taken_for_what_the_object_has_stored() {
    let theirs = holding(&[("meter", "theirs")]);
    let first = planned_among(&declared(), &among("7", PSK), &theirs);
    assert_eq!(sent(&first), ["+meter@7"]);
    let mut device = declared();
    device.status = claim(&device, &first);
    // It was refused, or the operator ended.
    device.spec.credential_secret_ref = None;
    let plan = planned(&device, &theirs);
    assert!(plan.actions.is_empty() && plan.status.credentials.is_empty());
    // It was stored all the same.
    let plan = planned(&device, &holding(&[("meter", "ours")]));
    assert_eq!(sent(&plan), ["-meter ours"]);
}

#[test]
fn a_version_that_follows_is_claimed_first() {
    let mut device = declared();
    let plan = planned_among(&device, &among("7", PSK), &holding(&[]));
    device.status = Some(plan.status);
    let known = &mut device.status.as_mut().unwrap().credentials[0];
    (known.secret_version, known.etag) = (Some("7".to_owned()), Some("e1".to_owned()));
    let plan = planned_among(&device, &among("8", PSK), &holding(&[("meter", "e1")]));
    let claimed = claim(&device, &plan).unwrap();
    device.status = Some(claimed);
    assert_eq!(claim(&device, &plan), None);
    device.spec.credential_secret_ref = None;
    for etag in ["e1", "e2"] {
        let plan = planned(&device, &holding(&[("meter", etag)]));
        assert_eq!(sent(&plan), [format!("-meter {etag}")]);
    }
}

#[test]
fn a_credential_that_is_not_asked_for_any_more_goes_and_those_of_others_stay() {
    let mut device = declared();
    device.status = Some(
        planned_among(&device, &among("7", PSK), &holding(&[]))
            .status
            .clone(),
    );
    device.spec.credential_secret_ref = None;
    let held = holding(&[("meter", "e1"), ("theirs", "e5")]);
    let plan = planned(&device, &held);
    assert_eq!(sent(&plan), ["-meter e1"]);
    let gone = planned(&device, &holding(&[("theirs", "e5")]));
    assert!(gone.actions.is_empty() && gone.status.credentials.is_empty());
    assert!(!matters(&with_status(device.clone(), &gone), &[]).credentials);
    // It stays with the device when the object goes, unless the device is to be forgotten.
    assert!(revocation(&device, &held).is_empty());
    device.spec.deletion_policy = DeletionPolicy::Deregister;
    let revoked: Vec<String> = revocation(&device, &held).iter().map(said).collect();
    assert_eq!(revoked, ["-meter e1"]);
}

#[test]
fn nothing_is_done_for_an_object_that_is_suspended() {
    let mut device = declared();
    device.spec.management_policy = ManagementPolicy::Suspended;
    let plan = planned_among(&device, &among("7", PSK), &holding(&[]));
    assert!(plan.actions.is_empty() && plan.status.credentials.is_empty());
    device.spec.management_policy = ManagementPolicy::ObserveOnly;
    let plan = planned_among(&device, &among("7", PSK), &holding(&[]));
    assert_eq!(sent(&plan), ["+meter@7"]);
}

#[test]
fn each_kind_of_credential_is_made_of_its_keys() {
    let psk = |identity: &[u8], key: &[u8]| Proof::PreSharedKey {
        identity: identity.to_vec(),
        key: key.to_vec(),
    };
    assert!(proof(PSK) == Ok(psk(b"meter", b"0123456789abcdef")));
    assert!(
        proof(&[("key.hex", b"00ff\n"), ("identity.hex", b"0a0b")])
            == Ok(psk(&[10, 11], &[0, 255]))
    );
    // The endpoint name, if nothing is said.
    assert!(proof(&[("key", b"k")]) == Ok(psk(b"urn:imei:1", b"k")));
    let pem = b"-----BEGIN PUBLIC KEY-----\nMAMCAQc=\n-----END PUBLIC KEY-----\n";
    let der = vec![0x30, 3, 2, 1, 7];
    assert!(proof(&[("publicKey", pem)]) == Ok(Proof::PublicKey(der.clone())));
    assert!(proof(&[("publicKey", &der)]) == Ok(Proof::PublicKey(der)));
    let oscore = proof(&[
        ("masterSecret.hex", b"0102"),
        ("clientID.hex", b"0a"),
        ("serverID", b"s"),
    ]);
    let Ok(Proof::Oscore { client_id, secret }) = oscore else {
        panic!("not a context")
    };
    assert_eq!((client_id, secret.server_id), (vec![10], b"s".to_vec()));
    assert_eq!(secret.master_secret, [1, 2]);
    assert_eq!((secret.master_salt, secret.id_context), (Vec::new(), None));
}

#[test]
fn a_secret_that_makes_none_is_told_without_what_it_has() {
    for (entries, why) in [
        (&[("psk", &b"hunter2"[..])][..], "has none of the keys"),
        (&[("key", b"hunter2"), ("publicKey", b"hunter2")], "kinds"),
        (&[("key", b"hunter2"), ("key.hex", b"00")], "has both keys"),
        (&[("key.hex", b"hunter2")], "key.hex is not an even number"),
        (&[("key", b"k"), ("identity", b"hunter2\n")], "line break"),
        (&[("masterSecret", b"hunter2")], "has no key clientID"),
        (&[("key", b"k"), ("identity", &[b'x'; 129])], "129 bytes"),
        (
            &[("masterSecret", b"k"), ("clientID", b"12345678")],
            "8 bytes",
        ),
        (&[("publicKey", b"-----hunter2")], "not a public key in PEM"),
    ] {
        let told = proof(entries).err().unwrap();
        assert!(
            told.contains(why) && !told.contains("hunter2") && !told.contains("'h'"),
            "{told}: {why}"
        );
    }
    let plan = planned(&declared(), &Observed::default());
    assert!(conditions(&plan).contains("Accepted=False/SecretNotFound"));
    assert!(message(&plan, "Accepted").contains("kubectl create secret generic k"));
    let printed = format!(
        "{:?}",
        planned_among(&declared(), &among("1", PSK), &holding(&[]))
    );
    assert!(printed.contains("meter") && !printed.contains("48, 49"));
}
