//! A gateway and the devices behind it (OMA LwM2M Gateway 1.1).

use std::collections::BTreeMap;

use lwm2m::gateway::GATEWAY;
use lwm2m::{AlternatePath, ChildPrefix, ObjectLinks, Path, Value};

use super::TEMPERATURE;
use crate::config::{Config, OptionalObject};
use crate::tree::ObjectTree;

/// What the paths of the devices behind it begin with.
const PREFIXES: [&str; 2] = ["dev0", "dev1"];

/// An instance of `/25` for each device behind the gateway.
pub(super) fn add(tree: &mut ObjectTree, config: &Config) {
    for ((prefix, child), instance) in children(config).into_iter().zip(0..) {
        let at = |id| Path::Resource(GATEWAY, instance, id);
        tree.put(at(0), Value::String(name(config, &prefix)));
        tree.put(at(1), Value::String(prefix.to_string()));
        let listed = child.links_of(|_| true);
        tree.put(at(3), Value::CoreLink(links_below(&prefix, &listed)));
    }
}

/// The devices behind it, none unless it is a gateway.
pub(crate) fn children(config: &Config) -> BTreeMap<ChildPrefix, ObjectTree> {
    if !config.profile.optional.contains(&OptionalObject::Gateway) {
        return BTreeMap::new();
    }
    let child = |prefix: &str| Some((prefix.parse().ok()?, child(config, prefix)));
    PREFIXES.into_iter().filter_map(child).collect()
}

fn child(config: &Config, prefix: &str) -> ObjectTree {
    let mut tree = ObjectTree::new(config.version);
    let device = |id| Path::Resource(3, 0, id);
    tree.put(
        device(0),
        Value::String(config.profile.manufacturer.clone()),
    );
    tree.put(
        device(2),
        Value::String(format!("{}-{prefix}", config.profile.serial)),
    );
    tree.put_action(device(4));
    tree.put(device(14), Value::String("+00:00".to_owned()));
    let sensor = |id| Path::Resource(TEMPERATURE, 0, id);
    tree.put(sensor(5700), Value::Float(config.profile.temperature));
    tree.put(sensor(5701), Value::String("Cel".to_owned()));
    tree
}

fn name(config: &Config, prefix: &ChildPrefix) -> String {
    format!("{}-{prefix}", config.endpoint)
}

/// Links as the gateway shows them: below the child's prefix.
pub(crate) fn links_below(prefix: &ChildPrefix, links: &ObjectLinks) -> String {
    let root = AlternatePath::default().of_child(prefix);
    let below: Vec<String> = links
        .iter()
        .filter(|link| link.path != Path::Root)
        .map(|link| {
            let bare = ObjectLinks::new(vec![link.clone()]).to_string();
            let path = root.uri_path(link.path).join("/");
            bare.replacen(&format!("<{}>", link.path), &format!("</{path}>"), 1)
        })
        .collect();
    below.join(",")
}
