//! What the device lists: in a registration, and in the answer to Discover.

use lwm2m::{
    Link, LwM2mVersion, NotificationAttributes, ObjectLinks, Path, default_object_version,
};

use super::{CREDENTIAL_OBJECTS, Object, ObjectTree, Resource};
use crate::refusal::Refusal;

impl ObjectTree {
    /// The list of objects and instances of a Register (LwM2M Core 1.2 §6.2.1).
    pub(crate) fn registration_links(&self) -> ObjectLinks {
        self.links_of(|_| true)
    }

    /// As [`Self::registration_links`], of some objects.
    pub(crate) fn links_of(&self, is_listed: impl Fn(u16) -> bool) -> ObjectLinks {
        let root = Link::new(Path::Root).with("rt", "oma.lwm2m");
        // The best format first. What a release must know anyway need not be told; the JSON of
        // 1.0 is told by all, later releases keep it for old servers.
        let formats = match self.release {
            LwM2mVersion::V1_0 => "11543",
            LwM2mVersion::V1_1 => "112 110 11542 11543 60",
            LwM2mVersion::V1_2 => "11544 112 110 11542 11543 60",
        };
        let mut links = vec![root.with("ct", formats)];
        for (id, object) in &self.objects {
            if CREDENTIAL_OBJECTS.contains(id) || !is_listed(*id) {
                continue;
            }
            let link = self.object_link(object);
            if object.instances.is_empty() || !link.attributes.is_empty() {
                links.push(link);
            }
            let instances = object.instances.keys();
            links.extend(instances.map(|instance| Link::new(Path::ObjectInstance(*id, *instance))));
        }
        ObjectLinks::new(links)
    }

    /// The answer to Discover (LwM2M Core 1.2 §6.3.2): the path, and `depth` levels below it.
    /// `attributes` gives those that are set at a path itself.
    pub(crate) fn discover(
        &self,
        path: Path,
        depth: Option<u8>,
        attributes: impl Fn(Path) -> NotificationAttributes,
    ) -> Result<ObjectLinks, Refusal> {
        self.require(path)?;
        let default = match path {
            Path::Object(_) => 2,
            Path::ObjectInstance(..) => 1,
            // LwM2M Core 1.2 §6.3.2: resource instances are listed since that release.
            Path::Resource(..) if self.release < LwM2mVersion::V1_2 => 0,
            Path::Resource(..) => 1,
            Path::Root | Path::ResourceInstance(..) => return Err(Refusal::NotAllowed(path)),
        };
        let levels = usize::from(depth.unwrap_or(default));
        let mut links = Vec::new();
        let Some(object) = path.object_id().and_then(|id| self.objects.get(&id)) else {
            return Err(Refusal::Missing(path));
        };
        self.walk(object, &mut |at, link| {
            let listed = at.starts_with(path) && at.depth() <= path.depth() + levels;
            if listed {
                links.push(decorate(link, attributes(at)));
            }
        });
        Ok(ObjectLinks::new(links))
    }

    fn walk(&self, object: &Object, visit: &mut impl FnMut(Path, Link)) {
        let id = object.model.id;
        visit(Path::Object(id), self.object_link(object));
        for (instance, resources) in &object.instances {
            let at = Path::ObjectInstance(id, *instance);
            visit(at, Link::new(at));
            for (resource, content) in resources {
                let at = Path::Resource(id, *instance, *resource);
                match content {
                    Resource::Single(_) | Resource::Action => visit(at, Link::new(at)),
                    Resource::Multiple(values) => {
                        let size = values.len().to_string();
                        visit(at, Link::new(at).with("dim", &size));
                        for instance in values.keys().filter_map(|id| at.child(*id)) {
                            visit(instance, Link::new(instance));
                        }
                    }
                }
            }
        }
    }

    fn object_link(&self, object: &Object) -> Link {
        let link = Link::new(Path::Object(object.model.id));
        let version = object.model.version;
        if version == default_object_version(object.model.id, self.release) {
            link
        } else {
            link.with("ver", &version.to_string())
        }
    }
}

fn decorate(mut link: Link, attributes: NotificationAttributes) -> Link {
    for parameter in attributes.to_query() {
        if let Some((name, value)) = parameter.split_once('=') {
            link = link.with(name, value);
        }
    }
    link
}
