#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

const ALL: [UpdateObject; 3] = [
    UpdateObject::Firmware,
    UpdateObject::Component(3),
    UpdateObject::Software(7),
];

#[test]
fn a_path_names_an_object_and_nothing_else_does() {
    for object in ALL {
        assert_eq!(object.to_string().parse(), Ok(object));
    }
    assert_eq!("".parse(), Ok(UpdateObject::Firmware));
    for text in ["/5", "/5/1", "/9", "/9/0/1", "/33629", "/3/0", "5/0", "/"] {
        assert_eq!(text.parse::<UpdateObject>(), Err(NoUpdateObject), "{text}");
    }
    let error = "/5/1".parse::<UpdateObject>().unwrap_err().to_string();
    assert_eq!(
        error,
        "use /5/0, or an instance of /33629 or /9, such as /33629/1"
    );
}

#[test]
fn what_a_device_tells_of_an_update_is_told_from_the_rest() {
    for object in ALL {
        for path in [object.state(), object.result(), object.version()] {
            assert!(UpdateObject::tells(path), "{path}");
            assert!(!UpdateObject::takes_package(path), "{path}");
        }
        assert!(UpdateObject::takes_package(object.package()));
        for path in [object.package(), object.uri(), object.update()] {
            assert!(!UpdateObject::tells(path), "{path}");
        }
    }
}

#[test]
fn numbers_mean_what_the_object_says() {
    use Stage::{Downloaded, Downloading, Idle, Installed, Updating};
    let stages = |object: UpdateObject| [0, 1, 2, 3, 4].map(|state| object.stage(state));
    let firmware = [Idle, Downloading, Downloaded, Updating].map(Some);
    assert_eq!(stages(UpdateObject::Firmware)[..4], firmware);
    assert_eq!(stages(UpdateObject::Component(0))[..4], firmware);
    assert_eq!(UpdateObject::Firmware.stage(4), None);
    let software = [Idle, Downloading, Downloading, Downloaded, Installed];
    assert_eq!(stages(UpdateObject::Software(0)), software.map(Some));

    let firmware = |result| UpdateObject::Component(0).verdict(result);
    assert_eq!(firmware(0), Verdict::Open);
    assert_eq!(firmware(-1), Verdict::Open);
    assert_eq!(firmware(1), Verdict::Success);
    assert_eq!(firmware(11), Verdict::Deferred);
    assert_eq!(firmware(13), Verdict::Failure(13));
    assert_eq!(firmware(300), Verdict::Failure(255));
    let software = |result| UpdateObject::Software(0).verdict(result);
    assert_eq!([0, 1, 3, 49].map(software), [Verdict::Open; 4]);
    assert_eq!(software(2), Verdict::Success);
    assert_eq!(software(50), Verdict::Failure(50));
}
