#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;
use crate::attributes::Setting;
use crate::raw::Method;
use crate::value::Value;

fn arguments(text: &str) -> Result<ExecuteArguments, ExecuteArgumentsError> {
    text.parse()
}

fn entry(path: &str) -> Entry {
    Entry::new(path.parse().unwrap(), Value::Integer(1))
}

fn write(path: &str, values: &[&str]) -> Result<(), OperationError> {
    let operation = Operation::Write {
        path: path.parse().unwrap(),
        mode: WriteMode::Update,
        values: values.iter().map(|path| entry(path)).collect(),
    };
    operation.validate()
}

#[test]
fn execute_arguments_follow_their_grammar() {
    for text in ["", "5", "2,3", "0='https://example.com/fw?a=b'", "1='',9"] {
        assert_eq!(arguments(text).unwrap().as_str(), text);
    }
    for (text, at) in [
        ("a", 0),
        ("5,", 2),
        (",5", 0),
        ("55", 1),
        ("5=1", 2),
        ("5='a", 4),
        ("5='a\"'", 4),
        ("5='a'b", 5),
        ("5='ä'", 3),
        ("5 ", 1),
    ] {
        assert_eq!(
            arguments(text),
            Err(ExecuteArgumentsError::Malformed(at)),
            "{text}"
        );
    }
    assert_eq!(arguments("1,1"), Err(ExecuteArgumentsError::Repeated('1')));
    let long = format!("1='{}'", "x".repeat(5_000));
    assert_eq!(arguments(&long), Err(ExecuteArgumentsError::TooLong));
}

#[test]
fn every_operation_insists_on_its_depth() {
    let execute = |path| Operation::Execute {
        path,
        arguments: ExecuteArguments::default(),
    };
    assert_eq!(execute(Path::Resource(3, 0, 4)).validate(), Ok(()));
    assert_eq!(
        execute(Path::ObjectInstance(3, 0)).validate(),
        Err(OperationError::WrongPath {
            operation: "execute",
            path: Path::ObjectInstance(3, 0)
        })
    );
    let delete = |path| Operation::Delete { path }.validate().is_ok();
    assert!(delete(Path::ObjectInstance(1, 0)) && delete(Path::ResourceInstance(1, 0, 2, 3)));
    assert!(!delete(Path::Object(1)) && !delete(Path::Resource(1, 0, 2)));
    let read = |path| Operation::Read { path, accept: None }.validate().is_ok();
    assert!(read(Path::Object(3)) && !read(Path::Root));
}

#[test]
fn written_values_lie_below_the_path_once() {
    assert_eq!(write("/3/0", &["/3/0/14", "/3/0/15"]), Ok(()));
    assert_eq!(write("/3/0/14", &["/3/0/14"]), Ok(()));
    assert_eq!(write("/3/0", &[]), Err(OperationError::NoValues("write")));
    assert_eq!(
        write("/3/0", &["/3/1/14"]),
        Err(OperationError::ValueOutside(Path::Resource(3, 1, 14)))
    );
    assert_eq!(
        write("/3/0", &["/3/0/6/1", "/3/0/9", "/3/0/6"]),
        Err(OperationError::RepeatedValue(Path::ResourceInstance(
            3, 0, 6, 1
        )))
    );
}

#[test]
fn created_values_belong_to_the_new_instance() {
    let create = |instance, value| {
        let operation = Operation::Create {
            path: Path::Object(1),
            instance,
            values: vec![entry(value)],
        };
        operation.validate()
    };
    assert_eq!(create(Some(5), "/1/5/1"), Ok(()));
    assert_eq!(create(None, "/1/0/1"), Ok(()));
    assert!(create(Some(5), "/1/6/1").is_err());
    assert_eq!(
        create(Some(65_535), "/1/0/1"),
        Err(OperationError::ReservedInstance)
    );
}

#[test]
fn a_create_without_instance_is_written_without_wrapper() {
    let create = |instance| Operation::Create {
        path: Path::Object(1),
        instance,
        values: Vec::new(),
    };
    assert_eq!(create(None).payload_base(), Path::ObjectInstance(1, 0));
    assert_eq!(create(Some(4)).payload_base(), Path::Object(1));
}

#[test]
fn attributes_and_depth_are_checked() {
    let attributes = NotificationAttributes::default();
    let path = Path::Object(3);
    let empty = Operation::WriteAttributes { path, attributes };
    assert_eq!(empty.validate(), Err(OperationError::NoAttributes));
    let attributes = NotificationAttributes {
        gt: Setting::To(1.0),
        ..attributes
    };
    let misplaced = Operation::WriteAttributes { path, attributes };
    assert!(matches!(
        misplaced.validate(),
        Err(OperationError::Attributes(_))
    ));
    let discover = |depth| Operation::Discover { path, depth }.validate();
    assert_eq!(discover(Some(3)), Ok(()));
    assert_eq!(discover(Some(4)), Err(OperationError::TooDeep(4)));
}

#[test]
fn a_composite_observation_takes_only_parameters_that_need_no_value() {
    let several = CompositePaths::new(vec![Path::Resource(3, 0, 9), Path::Object(4)]).unwrap();
    let observe = |parameter: &str| {
        let operation = Operation::Observe {
            observed: Observed::Composite(several.clone()),
            parameters: NotificationAttributes::parse_query(&[parameter]).unwrap(),
        };
        operation.validate()
    };
    for parameter in ["pmin=1", "pmax=2", "epmin=1", "epmax=2", "con=1"] {
        assert_eq!(observe(parameter), Ok(()), "{parameter}");
    }
    for parameter in ["gt=1", "lt=1", "st=1", "edge=1"] {
        let refused = observe(parameter);
        assert!(
            matches!(refused, Err(OperationError::Attributes(_))),
            "{parameter}"
        );
    }
}

#[test]
fn only_looking_is_safe() {
    let path = Path::Resource(3, 0, 9);
    assert!(Operation::Read { path, accept: None }.is_safe());
    let observe = |observed| Operation::Observe {
        observed,
        parameters: NotificationAttributes::default(),
    };
    assert!(observe(path.into()).is_safe());
    assert!(!Operation::Delete { path }.is_safe());
    assert_eq!(observe(path.into()).path(), path);
    assert_eq!(observe(path.into()).name(), "observe");
    let several = CompositePaths::new(vec![path, Path::Object(4)]).unwrap();
    let composite = observe(Observed::Composite(several));
    assert_eq!(composite.path(), Path::Root);
    assert_eq!(composite.name(), "observe-composite");
    assert_eq!(composite.target().to_string(), "/3/0/9 /4");
    let raw = |method| Operation::Raw(RawRequest::new(method, "/3/0").unwrap());
    assert!(raw(Method::Fetch).is_safe() && !raw(Method::Post).is_safe());
    assert!(raw(Method::Put).happens_once() && !raw(Method::Get).happens_once());
    assert_eq!(raw(Method::IPatch).target().to_string(), "iPATCH /3/0");
}

#[test]
fn what_happens_once_makes_nothing_obsolete_and_is_made_obsolete_by_nothing() {
    let path = Path::Resource(3, 0, 14);
    let write = Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, Value::Integer(1))],
    };
    let execute = Operation::Execute {
        path,
        arguments: ExecuteArguments::default(),
    };
    let create = Operation::Create {
        path: Path::Object(3),
        instance: Some(0),
        values: vec![Entry::new(path, Value::Integer(1))],
    };
    let raw = Operation::Raw(RawRequest::new(Method::Put, "/3/0/14").unwrap());
    assert!(write.makes_obsolete(&write));
    for once in [execute, create, raw] {
        assert!(once.happens_once());
        assert!(!once.makes_obsolete(&once), "{once:?}");
        assert!(!write.makes_obsolete(&once), "{once:?}");
        assert!(!once.makes_obsolete(&write), "{once:?}");
    }
}

#[test]
fn an_operation_behind_a_gateway_is_what_it_is_but_of_another_device() {
    let path = Path::Resource(3, 0, 14);
    let write = Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, Value::Integer(1))],
    };
    let behind = |operation: &Operation, child: &str| {
        let child: ChildPrefix = child.parse().unwrap();
        operation.clone().behind(child)
    };
    let there = behind(&write, "dev0");
    assert_eq!((there.name(), there.path()), ("write", path));
    assert_eq!(there.target().to_string(), "/dev0/3/0/14");
    assert!(there.is_write() && !there.is_safe() && !there.happens_once());
    assert!(there.makes_obsolete(&behind(&write, "dev0")));
    for other in [write.clone(), behind(&write, "dev1")] {
        assert!(!there.makes_obsolete(&other) && !other.makes_obsolete(&there));
    }
    assert_eq!(there.validate(), Ok(()));
    let execute = Operation::Execute {
        path,
        arguments: ExecuteArguments::default(),
    };
    assert!(behind(&execute, "dev0").happens_once());
    let read = Operation::Read { path, accept: None };
    assert!(behind(&read, "dev0").is_safe());
    let wrong = Operation::Read {
        path: Path::Root,
        accept: None,
    };
    assert!(behind(&wrong, "dev0").validate().is_err());
    let refused = |operation: &Operation| {
        let error = behind(operation, "dev0").validate().unwrap_err();
        matches!(error, OperationError::NotBehindGateway(_))
    };
    assert!(refused(&Operation::Delete { path }) && refused(&there));
    // A lifetime that is written to it is its own.
    let path = Path::Resource(1, 0, 1);
    let lifetime = Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, Value::Integer(60))],
    };
    assert!(lifetime.written_lifetime(|_| true).is_some());
    assert_eq!(behind(&lifetime, "dev0").written_lifetime(|_| true), None);
}

#[test]
fn composite_operations_name_one_thing_each_and_not_too_many() {
    let read = |paths| Operation::ReadComposite {
        paths,
        accept: None,
    };
    assert_eq!(read(vec![Path::Root]).validate(), Ok(()));
    let many = (0..65).map(Path::Object).collect();
    for paths in [Vec::new(), many] {
        assert_eq!(
            read(paths).validate(),
            Err(OperationError::PathCount("read-composite", 64))
        );
    }
    let write = |patches| Operation::WriteComposite { patches }.validate();
    let (resource, instance) = (
        Path::Resource(16, 0, 0),
        Path::ResourceInstance(16, 0, 0, 1),
    );
    let set = |path: Path| Patch::Set(Entry::new(path, Value::Integer(1)));
    assert_eq!(
        write(vec![
            set(instance),
            Patch::Remove(Path::ResourceInstance(16, 0, 0, 2))
        ]),
        Ok(())
    );
    assert_eq!(
        write(vec![set(resource), Patch::Remove(instance)]),
        Err(OperationError::RepeatedValue(instance))
    );
    assert_eq!(
        write(vec![Patch::Remove(resource)]),
        Err(OperationError::NotRemovable(resource))
    );
    assert!(write(Vec::new()).is_err());
}

#[test]
fn an_observation_behind_a_gateway_has_one_form() {
    let path = Path::Resource(3303, 0, 5700);
    let child: ChildPrefix = "dev0".parse().unwrap();
    let observed = Observed::Behind {
        child: child.clone(),
        path,
    };
    let observe = |observed| Operation::Observe {
        observed,
        parameters: NotificationAttributes::parse_query(&["pmin=1", "gt=20"]).unwrap(),
    };
    let there = observe(observed.clone());
    assert_eq!(observe(path.into()).behind(child.clone()), there);
    let cancel = Operation::CancelObserve {
        observed: path.into(),
    };
    let cancel = cancel.behind(child.clone());
    assert_eq!(cancel, Operation::CancelObserve { observed });
    for operation in [&there, &cancel] {
        assert_eq!(operation.validate(), Ok(()));
        assert_eq!(operation.path(), path);
        assert_eq!(operation.target().to_string(), "/dev0/3303/0/5700");
        assert!(operation.is_safe());
        let split = operation.clone().split_child();
        assert_eq!(split, (Some(child.clone()), operation.clone()));
    }
    assert_eq!(there.name(), "observe");
    let refused = |operation: Operation| operation.validate().unwrap_err();
    assert!(matches!(
        refused(observe(Path::Root.into()).behind(child.clone())),
        OperationError::WrongPath { .. }
    ));
    let several = CompositePaths::new(vec![path, Path::Object(3)]).unwrap();
    let nested = Operation::Behind {
        child: child.clone(),
        operation: Box::new(observe(path.into())),
    };
    for wrong in [
        observe(Observed::Composite(several)).behind(child.clone()),
        there.behind(child),
        nested,
    ] {
        assert!(matches!(
            refused(wrong),
            OperationError::NotBehindGateway(_)
        ));
    }
}
