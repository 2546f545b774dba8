//! Filters of lists: which fields there are, and what they are compared with.

use std::str::FromStr;

use device_state::selection::{
    Condition, DeviceFilter, DeviceTest, OperationFilter, OperationTest, Order, OrderTest, Pattern,
    Stage, TextTest,
};
use device_state::{Indexed, LabelKey, Timestamp};
use filter::{Argument, Comparator, Expression, Restriction, Tail};
use lwm2m::{LwM2mVersion, Path};

use crate::convert::{ConvertError, FilterProblem, Reason};

/// For messages: the fields of devices.
const DEVICE_FIELDS: &str = "endpoint, labels, state, lwm2m_version, binding, transport, registration_time, \
     last_update_time, expire_time, objects, manufacturer, model, firmware_version, ingress_node, enrollment_policy and quarantined";
const OPERATION_FIELDS: &str = "state, name, path and enqueue_time";

const IS: &str = "= and !=";
const ORDERED: &str = "= != < <= > and >=";
const HAS: &str = ": only";

type Tested<T> = Result<Condition<T>, ConvertError>;

/// Which devices a filter lets through.
pub fn device_filter(text: &str) -> Result<DeviceFilter, ConvertError> {
    read(text, &device_test)
}

/// Which operations a filter lets through.
pub fn operation_filter(text: &str) -> Result<OperationFilter, ConvertError> {
    read(text, &operation_test)
}

fn read<T>(text: &str, test: &dyn Fn(&Restriction) -> Tested<T>) -> Tested<T> {
    match filter::parse(text).map_err(|error| ConvertError::new("filter", error))? {
        None => Ok(Condition::everything()),
        Some(expression) => condition(&expression, test),
    }
}

fn condition<T>(expression: &Expression, test: &dyn Fn(&Restriction) -> Tested<T>) -> Tested<T> {
    let all = |parts: &[Expression]| -> Result<Vec<_>, _> {
        parts.iter().map(|part| condition(part, test)).collect()
    };
    Ok(match expression {
        Expression::And(parts) => Condition::All(all(parts)?),
        Expression::Or(parts) => Condition::Any(all(parts)?),
        Expression::Not(inner) => Condition::Not(Box::new(condition(inner, test)?)),
        Expression::Restriction(restriction) => test(restriction)?,
    })
}

fn device_test(restriction: &Restriction) -> Tested<DeviceTest> {
    let field = &restriction.field;
    if field.name == "labels" {
        return label_test(restriction).map(Condition::Test);
    }
    let name = known(
        restriction,
        DEVICE_FIELDS,
        &[
            "endpoint",
            "state",
            "lwm2m_version",
            "binding",
            "transport",
            "registration_time",
            "last_update_time",
            "expire_time",
            "objects",
            "manufacturer",
            "model",
            "firmware_version",
            "ingress_node",
            "enrollment_policy",
            "quarantined",
        ],
    )?;
    Ok(Condition::Test(match name {
        "endpoint" => DeviceTest::Endpoint(text(name, restriction)?),
        "state" => return state(restriction),
        "lwm2m_version" => {
            DeviceTest::Version(order(name, "1.0, 1.1 or 1.2", restriction, version)?)
        }
        "binding" => DeviceTest::Binding(text(name, restriction)?),
        "transport" => DeviceTest::Transport(text(name, restriction)?),
        "registration_time" => DeviceTest::RegisteredAt(time(name, restriction)?),
        "last_update_time" => DeviceTest::UpdatedAt(time(name, restriction)?),
        "expire_time" => DeviceTest::ExpiresAt(time(name, restriction)?),
        "objects" => object(restriction)?,
        "manufacturer" => DeviceTest::Value(Indexed::Manufacturer, text(name, restriction)?),
        "model" => DeviceTest::Value(Indexed::Model, text(name, restriction)?),
        "firmware_version" => DeviceTest::Value(Indexed::FirmwareVersion, text(name, restriction)?),
        "enrollment_policy" => DeviceTest::EnrollmentPolicy(text(name, restriction)?),
        "quarantined" => return quarantined(restriction),
        _ => DeviceTest::IngressNode(text(name, restriction)?),
    }))
}

fn operation_test(restriction: &Restriction) -> Tested<OperationTest> {
    let name = known(
        restriction,
        OPERATION_FIELDS,
        &["state", "name", "path", "enqueue_time"],
    )?;
    Ok(Condition::Test(match name {
        "state" => {
            let stage = |text: &str| {
                let named = STAGES.iter().find(|(name, _)| *name == text);
                named.map(|(_, stage)| *stage)
            };
            let what = "PENDING, IN_FLIGHT, DELIVERED, REJECTED, EXPIRED, CANCELLED or SUPERSEDED";
            return one_of(name, what, restriction, |text| {
                stage(text).map(|stage| Condition::Test(OperationTest::State(stage)))
            });
        }
        "name" => OperationTest::Name(text(name, restriction)?),
        "path" => OperationTest::Path(text(name, restriction)?),
        _ => OperationTest::EnqueuedAt(time(name, restriction)?),
    }))
}

const STAGES: [(&str, Stage); 7] = [
    ("PENDING", Stage::Pending),
    ("IN_FLIGHT", Stage::InFlight),
    ("DELIVERED", Stage::Delivered),
    ("REJECTED", Stage::Rejected),
    ("EXPIRED", Stage::Expired),
    ("CANCELLED", Stage::Cancelled),
    ("SUPERSEDED", Stage::Superseded),
];

fn refused(at: usize, problem: FilterProblem) -> ConvertError {
    ConvertError::new("filter", Reason::FilterField { at, problem })
}

/// The name of the field, if it is one of those without members.
fn known(
    restriction: &Restriction,
    fields: &'static str,
    names: &[&'static str],
) -> Result<&'static str, ConvertError> {
    let field = &restriction.field;
    let found = names.iter().find(|name| **name == field.name);
    let name = found
        .ok_or_else(|| refused(field.at, FilterProblem::NoField(field.name.clone(), fields)))?;
    if field.member.is_some() {
        return Err(refused(field.at, FilterProblem::Member(name)));
    }
    Ok(name)
}

fn pattern(argument: &Argument) -> Pattern {
    match argument.tail {
        Tail::Nothing => Pattern::Whole(argument.text.clone()),
        Tail::Any => Pattern::Beginning(argument.text.clone()),
    }
}

fn text(name: &'static str, restriction: &Restriction) -> Result<TextTest, ConvertError> {
    let pattern = pattern(&restriction.argument);
    match restriction.comparator {
        Comparator::Equal => Ok(TextTest::Is(pattern)),
        Comparator::NotEqual => Ok(TextTest::IsNot(pattern)),
        _ => Err(refused(
            restriction.field.at,
            FilterProblem::Comparator(name, IS),
        )),
    }
}

fn wrong(argument: &Argument, what: &'static str) -> ConvertError {
    let star = match argument.tail {
        Tail::Nothing => "",
        Tail::Any => "*",
    };
    let text = format!("{}{star}", argument.text);
    refused(argument.at, FilterProblem::Value(text, what))
}

/// The text of an argument that has no star.
fn whole<'r>(argument: &'r Argument, what: &'static str) -> Result<&'r str, ConvertError> {
    match argument.tail {
        Tail::Nothing => Ok(&argument.text),
        Tail::Any => Err(wrong(argument, what)),
    }
}

fn label_test(restriction: &Restriction) -> Result<DeviceTest, ConvertError> {
    const KEY: &str = "the key of a label";
    let Restriction {
        field,
        comparator,
        argument,
    } = restriction;
    match &field.member {
        Some(member) => {
            let wrong = || refused(field.at, FilterProblem::Value(member.clone(), KEY));
            let key = LabelKey::new(member).map_err(|_| wrong())?;
            let any = argument.text.is_empty() && argument.tail == Tail::Any;
            if *comparator == Comparator::Has && any {
                return Ok(DeviceTest::HasLabel(key));
            }
            Ok(DeviceTest::Label(key, text("labels.KEY", restriction)?))
        }
        None if *comparator == Comparator::Has => LabelKey::new(whole(argument, KEY)?)
            .map(DeviceTest::HasLabel)
            .map_err(|_| wrong(argument, KEY)),
        None => Err(refused(field.at, FilterProblem::Comparator("labels", HAS))),
    }
}

/// Something that is one of a few, or is not.
fn one_of<T>(
    name: &'static str,
    what: &'static str,
    restriction: &Restriction,
    named: impl Fn(&str) -> Option<Condition<T>>,
) -> Tested<T> {
    let argument = &restriction.argument;
    let condition = named(whole(argument, what)?).ok_or_else(|| wrong(argument, what))?;
    match restriction.comparator {
        Comparator::Equal => Ok(condition),
        Comparator::NotEqual => Ok(Condition::Not(Box::new(condition))),
        _ => Err(refused(
            restriction.field.at,
            FilterProblem::Comparator(name, IS),
        )),
    }
}

fn state(restriction: &Restriction) -> Tested<DeviceTest> {
    let registered = || Condition::Test(DeviceTest::Registered);
    one_of(
        "state",
        "REGISTERED or NOT_REGISTERED",
        restriction,
        |text| match text {
            "REGISTERED" => Some(registered()),
            "NOT_REGISTERED" => Some(Condition::Not(Box::new(registered()))),
            _ => None,
        },
    )
}

fn quarantined(restriction: &Restriction) -> Tested<DeviceTest> {
    let quarantined = || Condition::Test(DeviceTest::Quarantined);
    one_of(
        "quarantined",
        "true or false",
        restriction,
        |text| match text {
            "true" => Some(quarantined()),
            "false" => Some(Condition::Not(Box::new(quarantined()))),
            _ => None,
        },
    )
}

fn order<V>(
    name: &'static str,
    what: &'static str,
    restriction: &Restriction,
    value: impl Fn(&str) -> Option<V>,
) -> Result<OrderTest<V>, ConvertError> {
    let is = match restriction.comparator {
        Comparator::Equal => Order::Equal,
        Comparator::NotEqual => Order::Other,
        Comparator::Less => Order::Less,
        Comparator::LessOrEqual => Order::AtMost,
        Comparator::Greater => Order::Greater,
        Comparator::GreaterOrEqual => Order::AtLeast,
        Comparator::Has => {
            let problem = FilterProblem::Comparator(name, ORDERED);
            return Err(refused(restriction.field.at, problem));
        }
    };
    let argument = &restriction.argument;
    let than = value(whole(argument, what)?).ok_or_else(|| wrong(argument, what))?;
    Ok(OrderTest { is, than })
}

fn version(text: &str) -> Option<LwM2mVersion> {
    LwM2mVersion::from_str(text).ok()
}

fn time(
    name: &'static str,
    restriction: &Restriction,
) -> Result<OrderTest<Timestamp>, ConvertError> {
    order(
        name,
        "a time such as 2026-11-30T17:00:00Z",
        restriction,
        |text| {
            let time = prost_types::Timestamp::from_str(text).ok()?;
            let seconds = u64::try_from(time.seconds).ok()?;
            let millis = u64::try_from(time.nanos).ok()? / 1_000_000;
            Some(Timestamp(seconds.checked_mul(1_000)?.checked_add(millis)?))
        },
    )
}

fn object(restriction: &Restriction) -> Result<DeviceTest, ConvertError> {
    const WHAT: &str = "an object or object instance, such as 3303 or /3303/0";
    let argument = &restriction.argument;
    if restriction.comparator != Comparator::Has {
        let problem = FilterProblem::Comparator("objects", HAS);
        return Err(refused(restriction.field.at, problem));
    }
    let text = whole(argument, WHAT)?;
    match format!("/{}", text.trim_start_matches('/')).parse() {
        Ok(Path::Object(object)) => Ok(DeviceTest::Object(object, None)),
        Ok(Path::ObjectInstance(object, instance)) => {
            Ok(DeviceTest::Object(object, Some(instance)))
        }
        _ => Err(wrong(argument, WHAT)),
    }
}
