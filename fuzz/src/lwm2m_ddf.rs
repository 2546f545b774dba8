//! Definitions of objects in XML, as people and programs upload them.

use lwm2m::{ObjectModel, ddf};

/// The whole input is a document. What is read of it is within its bounds.
pub fn run(data: &[u8]) {
    let Ok(models) = ddf::parse(&String::from_utf8_lossy(data)) else {
        return;
    };
    assert!((1..=ddf::MAX_OBJECTS).contains(&models.len()));
    for model in models {
        let again = model.clone().with_resources(model.resources().to_vec());
        assert_eq!(again, Ok(model.clone()));
        assert!(model.resources().len() <= ObjectModel::MAX_RESOURCES);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let example = include_bytes!("../../examples/pump.xml");
    let odd = "<!-- c --><?p i?><x:LWM2M xmlns:x='u'><Object ObjectType='MODefinition'><Name>&lt;&#65;</Name>\
               <ObjectID>1</ObjectID><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>\
               <Resources/><Description1><![CDATA[a]]>b</Description1></Object></x:LWM2M>";
    vec![example.to_vec(), odd.as_bytes().to_vec()]
}
