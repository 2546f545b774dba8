#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::registry::{NotAdmitted, Registry};
use crate::{Operation, Path, WriteMode};

/// In the form in which the OMA's editor writes definitions: comments before the root, sections of
/// characters, empty elements and a schema.
const PUMP: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Copyright of somebody -->
<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xsi:noNamespaceSchemaLocation="http://openmobilealliance.org/tech/profiles/LWM2M.xsd">
  <Object ObjectType="MODefinition">
    <Name>Pump</Name>
    <Description1><![CDATA[Moves <water> & more.]]></Description1>
    <ObjectID>26241</ObjectID>
    <ObjectURN>urn:oma:lwm2m:x:26241:1.2</ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>1.2</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="5850"><Name>On/Off</Name><Operations>RW</Operations>
        <MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory>
        <Type>Boolean</Type><RangeEnumeration></RangeEnumeration><Units></Units>
        <Description>On &amp; off &#x2014; both.</Description></Item>
      <Item ID="1"><Name>Prime</Name><Operations>E</Operations>
        <MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
        <Type></Type><RangeEnumeration/><Units/><Description/></Item>
      <Item ID="2"><Name>Flow
          limit</Name><Operations>RW</Operations>
        <MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
        <Type>Unsigned Integer</Type><RangeEnumeration>0..400</RangeEnumeration>
        <Units>l/h</Units></Item>
      <Item ID="3"><Name>Key</Name><Operations/>
        <MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
        <Type>Opaque</Type><NewInLaterReleases><Name>?</Name></NewInLaterReleases></Item>
    </Resources>
    <Description2 />
  </Object>
</LWM2M>
"#;

fn pump() -> ObjectModel {
    parse(PUMP).unwrap().remove(0)
}

fn refused(xml: &str) -> String {
    parse(xml).unwrap_err().to_string()
}

/// The pump with one text replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(PUMP.contains(from), "{from}");
    refused(&PUMP.replacen(from, to, 1))
}

#[test]
fn a_definition_is_read_as_the_editor_of_the_oma_writes_it() {
    let model = pump();
    assert_eq!((model.id, model.name.as_ref()), (26_241, "Pump"));
    assert_eq!(model.version, ObjectVersion::new(1, 2));
    assert_eq!(model.lwm2m_version, ObjectVersion::new(1, 1));
    assert!(model.multiple && !model.mandatory);
    assert_eq!(model.description.as_deref(), Some("Moves <water> & more."));
    let ids: Vec<u16> = model
        .resources()
        .iter()
        .map(|resource| resource.id)
        .collect();
    assert_eq!(ids, [1, 2, 3, 5850]);
    let switch = model.resource(5850).unwrap();
    assert_eq!(switch.value_type, Some(ValueType::Boolean));
    assert_eq!(
        switch.description.as_deref(),
        Some("On & off \u{2014} both.")
    );
    assert_eq!(switch.operations.to_string(), "RW");
    assert!(switch.mandatory && switch.range.is_none() && switch.units.is_none());
    let prime = model.resource(1).unwrap();
    assert!(prime.operations.executable && prime.value_type.is_none());
    let limit = model.resource(2).unwrap();
    assert_eq!(limit.name, "Flow limit");
    assert_eq!(limit.value_type, Some(ValueType::Unsigned));
    assert!(limit.multiple);
    assert_eq!(limit.range.as_deref(), Some("0..400"));
    assert_eq!(limit.units.as_deref(), Some("l/h"));
    assert_eq!(model.resource(3).unwrap().operations, Operations::default());
}

#[test]
fn versions_that_are_not_written_are_1_0() {
    let xml = PUMP
        .replace("<LWM2MVersion>1.1</LWM2MVersion>", "<LWM2MVersion/>")
        .replace("<ObjectVersion>1.2</ObjectVersion>", "");
    let model = parse(&xml).unwrap().remove(0);
    assert_eq!(model.version, ObjectVersion::V1_0);
    assert_eq!(model.lwm2m_version, ObjectVersion::V1_0);
}

#[test]
fn a_slip_is_told_with_its_place_and_a_remedy() {
    assert_eq!(
        changed("<Type>Boolean</Type>", "<Type>Bool</Type>"),
        "line 17, column 9: <Type> is \"Bool\"; it must be String, Integer, Unsigned Integer, Float, \
         Boolean, Opaque, Time, Objlnk or Corelnk, and empty for an executable resource"
    );
    assert_eq!(
        changed("<ObjectID>26241<", "<ObjectID>pump<"),
        "line 8, column 5: <ObjectID> is \"pump\"; it must be a number from 0 to 65534"
    );
    assert_eq!(
        changed("<Name>Pump</Name>", ""),
        "line 5, column 3: <Object> has no <Name>; add it"
    );
    let texts = [
        (changed("MODefinition", "Other"), "must be \"MODefinition\""),
        (
            changed("<ObjectID>26241<", "<ObjectID>65535<"),
            "0 to 65534",
        ),
        (
            changed("<ObjectVersion>1.2", "<ObjectVersion>2"),
            "major.minor",
        ),
        (changed("<Item ID=\"5850\">", "<Item>"), "write <Item ID="),
        (
            changed("<Item ID=\"5850\">", "<Item ID=\"-1\">"),
            "0 to 65534",
        ),
        (
            changed("<Item ID=\"5850\">", "<Item ID=\"1\">"),
            "resource 1 is defined twice",
        ),
        (
            changed("<Operations>RW<", "<Operations>RX<"),
            "it must be R, W, RW, E",
        ),
        (
            changed("<Operations>E<", "<Operations>RE<"),
            "operation E alone",
        ),
        (changed("<Type>Boolean</Type>", "<Type/>"), "no data type"),
        (
            changed(">Multiple<", ">Many<"),
            "it must be Single or Multiple",
        ),
        (
            changed(">Optional<", ">Yes<"),
            "it must be Optional or Mandatory",
        ),
        (changed("<Name>Pump<", "<Name> <"), "the object has no name"),
        (changed("<Resources>", "<Resource>"), "not well-formed"),
    ];
    for (message, part) in texts {
        assert!(message.contains(part), "{message}");
        assert!(message.starts_with("line "), "{message}");
    }
    let long = "n".repeat(ObjectModel::MAX_NAME + 1);
    assert!(changed("On/Off", &long).contains("resource 5850 has a name of 129 bytes"));
}

#[test]
fn what_is_no_definition_is_told_apart() {
    assert!(refused("").contains("there is no XML element"));
    assert!(refused("pump").contains("there is no XML element"));
    assert!(refused("<html/>").contains("the document is <html>"));
    assert!(refused("<LWM2M/>").contains("has no <Object>"));
    assert!(refused("<LWM2M><Object>").contains("<Object> is never closed"));
    assert!(refused("<LWM2M a=1><Object/></LWM2M>").contains("not well-formed"));
}

#[test]
fn hostile_documents_are_refused() {
    let bomb = "<!DOCTYPE LWM2M [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><LWM2M>&b;</LWM2M>";
    assert!(refused(bomb).contains("a DOCTYPE is refused"));
    let outside = "<!DOCTYPE LWM2M SYSTEM \"file:///etc/passwd\"><LWM2M/>";
    assert!(refused(outside).contains("a DOCTYPE is refused"));
    assert!(refused("<LWM2M>&secret;</LWM2M>").contains("&secret; is not known"));
    assert!(refused("<LWM2M>&#0;</LWM2M>").contains("&#0; is not known"));
    assert!(refused(&"<a>".repeat(1_000)).contains("nested more than"));
    let wide = format!("<LWM2M>{}</LWM2M>", "<a/>".repeat(40_000));
    assert!(refused(&wide).contains("elements"));
    let attributes: String = (0..1_000).map(|id| format!(" a{id}=\"\"")).collect();
    assert!(refused(&format!("<LWM2M{attributes}/>")).contains("attributes"));
    assert!(refused(&" ".repeat(MAX_DOCUMENT + 1)).contains("more than 1048576"));
    let objects = format!("<LWM2M>{}</LWM2M>", "<Object/>".repeat(MAX_OBJECTS + 1));
    assert!(refused(&objects).contains("use several documents"));
}

#[test]
fn too_many_or_too_large_resources_are_refused() {
    let item = |id: usize, name: &str| {
        format!(
            "<Item ID=\"{id}\"><Name>{name}</Name><Operations>R</Operations><MultipleInstances>Single\
             </MultipleInstances><Mandatory>Optional</Mandatory><Type>Float</Type></Item>"
        )
    };
    let with = |count: usize, name: &str| {
        let items: String = (6_000..6_000 + count).map(|id| item(id, name)).collect();
        PUMP.replacen("<Resources>", &format!("<Resources>{items}"), 1)
    };
    assert!(parse(&with(ObjectModel::MAX_RESOURCES - 4, "n")).is_ok());
    assert!(refused(&with(ObjectModel::MAX_RESOURCES, "n")).contains("1028 resources"));
    let long = "n".repeat(ObjectModel::MAX_NAME);
    assert!(refused(&with(600, &long)).contains("shorten its descriptions"));
}

#[test]
fn a_long_description_is_cut_between_characters() {
    let long = "\u{e9}".repeat(ObjectModel::MAX_DESCRIPTION);
    let xml = PUMP.replacen("Moves <water> & more.", &format!("x{long}"), 1);
    let model = parse(&xml).unwrap().remove(0);
    let kept = model.description.unwrap();
    assert_eq!(kept.len(), ObjectModel::MAX_DESCRIPTION - 1);
}

#[test]
fn a_definition_of_a_vendor_types_and_checks_as_one_of_the_oma() {
    let registry = Registry::oma().with([pump()]);
    let switch = Path::Resource(26_241, 0, 5_850);
    assert_eq!(registry.value_type(switch), Some(ValueType::Boolean));
    assert_eq!(
        registry.value_type(Path::Resource(3, 0, 9)),
        Some(ValueType::Integer)
    );
    let read = |path| Operation::Read { path, accept: None };
    assert!(
        read(Path::Resource(26_241, 0, 1))
            .check_use(&registry)
            .is_err()
    );
    assert!(read(switch).check_use(&registry).is_ok());
    let write = Operation::Write {
        path: Path::Resource(26_241, 0, 3),
        mode: WriteMode::Replace,
        values: vec![crate::Entry::new(
            Path::Resource(26_241, 0, 3),
            crate::Value::Opaque(Vec::new()),
        )],
    };
    assert!(write.check_use(&registry).is_err());
}

#[test]
fn objects_of_the_oma_are_not_overridden() {
    let oma = Registry::oma();
    let model = |id, version| ObjectModel::new(id, version, "Mine");
    let newest = ObjectVersion::new(u8::MAX, u8::MAX);
    assert_eq!(oma.admits(&model(3, newest)), Err(NotAdmitted::OmaOnly(3)));
    assert_eq!(
        oma.admits(&model(1_023, newest)),
        Err(NotAdmitted::OmaOnly(1_023))
    );
    let temperature = oma.object(3_303, None).unwrap();
    assert!(oma.admits(&model(3_303, temperature.version)).is_err());
    assert!(oma.admits(&model(3_303, newest)).is_ok());
    assert!(oma.admits(&model(26_241, ObjectVersion::V1_0)).is_ok());
    let layered = oma.with([
        model(3, newest),
        model(3_303, newest),
        model(3_303, ObjectVersion::V1_0),
        model(26_241, ObjectVersion::V1_0),
    ]);
    assert_eq!(layered.objects().len(), oma.objects().len() + 2);
    assert_eq!(layered.object(3_303, None).unwrap().name, "Mine");
    // What only the older version has is still known.
    assert!(layered.resource(Path::Resource(3_303, 0, 5_700)).is_some());
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn print(model: &ObjectModel) -> String {
    let words = |multiple, mandatory| {
        format!(
            "<MultipleInstances>{}</MultipleInstances><Mandatory>{}</Mandatory>",
            if multiple { "Multiple" } else { "Single" },
            if mandatory { "Mandatory" } else { "Optional" },
        )
    };
    let text = |text: &Option<Cow<'static, str>>| escape(text.as_deref().unwrap_or_default());
    let items: String = model
        .resources()
        .iter()
        .map(|resource| {
            let value_type = match resource.value_type {
                None => "",
                Some(ValueType::Float) => "Float",
                Some(_) => "String",
            };
            format!(
                "<Item ID=\"{}\"><Name>{}</Name><Operations>{}</Operations>{}<Type>{value_type}</Type>\
                 <RangeEnumeration>{}</RangeEnumeration><Units>{}</Units>\
                 <Description>{}</Description></Item>",
                resource.id,
                escape(&resource.name),
                resource.operations,
                words(resource.multiple, resource.mandatory),
                text(&resource.range),
                text(&resource.units),
                text(&resource.description),
            )
        })
        .collect();
    format!(
        "<LWM2M><Object ObjectType=\"MODefinition\"><Name>{}</Name><Description1>{}</Description1>\
         <ObjectID>{}</ObjectID><LWM2MVersion>{}</LWM2MVersion><ObjectVersion>{}</ObjectVersion>{}\
         <Resources>{items}</Resources></Object></LWM2M>",
        escape(&model.name),
        text(&model.description),
        model.id,
        model.lwm2m_version,
        model.version,
        words(model.multiple, model.mandatory),
    )
}

fn fact() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    proptest::option::of("[a-z<&>\"']{1,8}( [a-z0-9<&;]{1,8}){0,2}".prop_map(Cow::Owned))
}

fn any_resource() -> impl Strategy<Value = ResourceModel> {
    let kind = prop_oneof![
        Just(("E", None)),
        Just(("RW", Some(ValueType::Float))),
        Just(("", Some(ValueType::String))),
    ];
    let flags = (any::<bool>(), any::<bool>());
    (
        0..65_535_u16,
        "[A-Z&<]{1,9}",
        kind,
        flags,
        fact(),
        fact(),
        fact(),
    )
        .prop_map(
            |(
                id,
                name,
                (operations, value_type),
                (multiple, mandatory),
                range,
                units,
                description,
            )| {
                ResourceModel {
                    id,
                    name: name.into(),
                    operations: Operations::parse(operations).unwrap(),
                    multiple,
                    mandatory,
                    value_type,
                    range,
                    units,
                    description,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_definition_that_is_written_is_read_back(
        id in 0..65_535_u16,
        version in (any::<u8>(), any::<u8>()),
        description in fact(),
        mut resources in proptest::collection::vec(any_resource(), 0..6),
    ) {
        resources.sort_by_key(|resource| resource.id);
        resources.dedup_by_key(|resource| resource.id);
        let mut model = ObjectModel::new(id, ObjectVersion::new(version.0, version.1), "Any");
        model.description = description;
        let model = model.with_resources(resources).unwrap();
        prop_assert_eq!(parse(&print(&model)), Ok(vec![model]));
    }

    #[test]
    fn no_document_panics(
        xml in "(<|>|/|!|\\[|\\]|-|\\?|&|;|#|=|\"| |LWM2M|Object|Item ID|CDATA|DOCTYPE|é|\\n){0,60}",
    ) {
        let _anything = parse(&xml);
    }

    #[test]
    fn a_definition_that_is_cut_or_bent_does_not_panic(
        cut in 0..PUMP.len(),
        with in "[<>&/\"a]{0,3}",
        length in 0..40_usize,
    ) {
        let (start, end) = (PUMP.get(..cut), PUMP.get(cut.saturating_add(length)..));
        let bent = format!("{}{with}{}", start.unwrap_or_default(), end.unwrap_or_default());
        let _anything = parse(&bent);
    }
}

#[test]
fn what_is_written_reads_as_the_same_object() {
    let mut pump = pump();
    assert_eq!(parse(&write(&pump)).unwrap(), [pump.clone()]);
    pump.name = "a < b & \"c\"".into();
    pump.description = Some("Moves water.\nmade by somebody".into());
    assert_eq!(parse(&write(&pump)).unwrap(), [pump]);
}
