use super::*;

fn profiles(id: &str, list: &str) -> Result<Profiles, ProfileError> {
    Profiles::new(&BTreeMap::from([(id.to_owned(), list.to_owned())]))
}

#[test]
fn a_table_of_profiles_is_read_or_refused_with_the_id_that_is_wrong() {
    for list in [
        "</1/0>,</3/0>",
        "</>;rt=\"oma.lwm2m <x>\";ct=110,</3303>;ver=1.1,</3303/0>",
        "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3/0>",
    ] {
        assert!(profiles("6:27354b9a", list).is_ok(), "{list}");
    }
    let id = "v:a".to_owned();
    for (list, error) in [
        ("</0/0>,</3/0>", ProfileError::NotRegistered(id.clone())),
        ("</21/0>", ProfileError::NotRegistered(id.clone())),
        ("</3/0/9>", ProfileError::NotRegistered(id.clone())),
        ("</3/0>,</3O3/0>", ProfileError::NotRegistered(id.clone())),
        ("</lwm2m/3/0>", ProfileError::NotRegistered(id.clone())),
        ("</>;ct=110", ProfileError::NoObject(id.clone())),
        ("", ProfileError::NoObject(id.clone())),
        (
            "</3/0",
            ProfileError::Links {
                id: id.clone(),
                source: LinkError::Malformed(5),
            },
        ),
    ] {
        assert_eq!(profiles(&id, list), Err(error), "{list}");
    }
    for id in ["", "a b", "a,b", "\"a\"", &"x".repeat(256)] {
        let error = ProfileError::Id(id.to_owned());
        assert_eq!(profiles(id, "</3/0>"), Err(error));
    }
}

#[test]
fn what_a_profile_added_is_told_from_what_the_device_lists() {
    let profiles = profiles("v:a", "</1/0>,</3/0>").expect("it is in order");
    let own = ObjectLinks::parse("</3/0>;ver=1.2,</4/0>").expect("it is in order");
    let kept = profiles.find("v:a").besides(&own);
    assert_eq!(kept.to_string(), "</3/0>;ver=1.2,</4/0>,</1/0>;pid");
    assert_eq!(own_links(&kept).as_deref(), Some(&own));
    assert_eq!(own_links(&own), None);
}
