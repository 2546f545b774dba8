//! What each method of the API does, to what.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Delete,
    Execute,
    Approve,
}

impl Verb {
    /// As policies and Kubernetes write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Approve => "approve",
        }
    }

    /// Whether it changes something, so that it is put on record.
    pub const fn is_change(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Delete | Self::Execute | Self::Approve => true,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    /// `devices`, or a part of one as `devices/operations`.
    pub resource: &'static str,
    pub verb: Verb,
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    /// All namespaces have it in common.
    Cluster,
    Namespace(&'a str),
}

/// What all namespaces have in common.
const OF_CLUSTER: [&str; 3] = ["objectmodels", "cluster", "backups"];

impl Permission {
    /// Where it is needed by a caller who speaks of a namespace.
    pub fn scope<'a>(&self, namespace: &'a str) -> Scope<'a> {
        if OF_CLUSTER.contains(&self.resource) {
            Scope::Cluster
        } else {
            Scope::Namespace(namespace)
        }
    }
}

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anybody: it tells whether the node serves, and nothing else.
    Open,
    /// Whoever proved who they are: it tells what the API looks like.
    Known,
    /// Who has this permission.
    Needs(Permission),
}

/// Without a rule nobody may call it.
pub fn rule(path: &str) -> Option<Rule> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    match service {
        "grpc.health.v1.Health" => return Some(Rule::Open),
        "grpc.reflection.v1.ServerReflection" => return Some(Rule::Known),
        _ => {}
    }
    let service = service.strip_prefix("drover.v1.")?;
    let (_, methods) = SERVICES.iter().find(|(name, _)| *name == service)?;
    let (_, resource, verb) = methods.iter().find(|(name, ..)| *name == method)?;
    Some(Rule::Needs(Permission {
        resource,
        verb: *verb,
    }))
}

/// Every method that needs a permission, as `/drover.v1.Service/Method`.
pub fn methods() -> impl Iterator<Item = (String, Permission)> {
    SERVICES.iter().flat_map(|(service, methods)| {
        methods.iter().map(move |(method, resource, verb)| {
            let permission = Permission {
                resource,
                verb: *verb,
            };
            (format!("/drover.v1.{service}/{method}"), permission)
        })
    })
}

type Method = (&'static str, &'static str, Verb);

/// What the services of `drover.v1` do. A method that is missing here is refused, and a test says so.
const SERVICES: &[(&str, &[Method])] = &[
    (
        "Devices",
        &[
            ("GetDevice", "devices", Verb::Get),
            ("ListDevices", "devices", Verb::List),
            ("UpdateDevice", "devices", Verb::Update),
            ("DeleteDevice", "devices", Verb::Delete),
            ("WatchEvents", "devices", Verb::Watch),
        ],
    ),
    (
        "Operations",
        &[
            ("Read", "devices/resources", Verb::Get),
            ("ReadComposite", "devices/resources", Verb::Get),
            ("Discover", "devices/resources", Verb::Get),
            ("ListChildren", "devices/resources", Verb::List),
            ("Observe", "devices/resources", Verb::Watch),
            ("ObserveComposite", "devices/resources", Verb::Watch),
            ("Write", "devices/resources", Verb::Update),
            ("WriteComposite", "devices/resources", Verb::Update),
            ("CreateInstance", "devices/resources", Verb::Create),
            ("DeleteInstance", "devices/resources", Verb::Delete),
            ("Execute", "devices/resources", Verb::Execute),
            ("WriteAttributes", "devices/attributes", Verb::Update),
            // It may be anything, so it is a right of its own.
            ("SendRaw", "devices/raw", Verb::Execute),
            ("GetOperation", "devices/operations", Verb::Get),
            ("ListOperations", "devices/operations", Verb::List),
            ("WaitOperation", "devices/operations", Verb::Get),
            ("CancelOperation", "devices/operations", Verb::Update),
        ],
    ),
    (
        "Observations",
        &[
            ("PutObservation", "devices/observations", Verb::Update),
            ("ListObservations", "devices/observations", Verb::List),
            ("DeleteObservation", "devices/observations", Verb::Delete),
        ],
    ),
    (
        "DesiredState",
        &[
            ("SetDesired", "devices/desired", Verb::Update),
            ("GetDesired", "devices/desired", Verb::Get),
        ],
    ),
    (
        "Credentials",
        &[
            ("PutCredential", "credentials", Verb::Update),
            ("ListCredentials", "credentials", Verb::List),
            ("DeleteCredential", "credentials", Verb::Delete),
        ],
    ),
    (
        "Bootstrap",
        &[
            ("PutBootstrapProfile", "bootstrapprofiles", Verb::Update),
            ("ListBootstrapProfiles", "bootstrapprofiles", Verb::List),
            ("DeleteBootstrapProfile", "bootstrapprofiles", Verb::Delete),
            ("StartBootstrap", "devices/bootstrap", Verb::Execute),
        ],
    ),
    (
        "Campaigns",
        &[
            ("CreateCampaign", "firmwarerollouts", Verb::Create),
            ("GetCampaign", "firmwarerollouts", Verb::Get),
            ("ListCampaigns", "firmwarerollouts", Verb::List),
            ("PauseCampaign", "firmwarerollouts", Verb::Update),
            // What cannot be taken back is a right of its own.
            ("ApproveCampaign", "firmwarerollouts", Verb::Approve),
            ("AbortCampaign", "firmwarerollouts", Verb::Approve),
            ("DeleteCampaign", "firmwarerollouts", Verb::Delete),
            ("ListCampaignDevices", "firmwarerollouts", Verb::Get),
        ],
    ),
    (
        "Artefacts",
        &[
            ("PutArtefact", "artefacts", Verb::Create),
            ("GetArtefact", "artefacts", Verb::Get),
            ("ListArtefacts", "artefacts", Verb::List),
            ("DeleteArtefact", "artefacts", Verb::Delete),
        ],
    ),
    (
        "DeviceGroups",
        &[
            ("PutDeviceGroup", "devicegroups", Verb::Update),
            ("GetDeviceGroup", "devicegroups", Verb::Get),
            ("ListDeviceGroups", "devicegroups", Verb::List),
            ("DeleteDeviceGroup", "devicegroups", Verb::Delete),
        ],
    ),
    (
        "EnrollmentPolicies",
        &[
            ("PutEnrollmentPolicy", "enrollmentpolicies", Verb::Update),
            ("GetEnrollmentPolicy", "enrollmentpolicies", Verb::Get),
            ("ListEnrollmentPolicies", "enrollmentpolicies", Verb::List),
            ("DeleteEnrollmentPolicy", "enrollmentpolicies", Verb::Delete),
        ],
    ),
    (
        "DeviceProfiles",
        &[
            ("PutDeviceProfile", "deviceprofiles", Verb::Update),
            ("GetDeviceProfile", "deviceprofiles", Verb::Get),
            ("ListDeviceProfiles", "deviceprofiles", Verb::List),
            ("DeleteDeviceProfile", "deviceprofiles", Verb::Delete),
            ("ListProfileDevices", "deviceprofiles", Verb::Get),
        ],
    ),
    (
        "ObjectModels",
        &[
            ("PutObjectModels", "objectmodels", Verb::Update),
            ("ListObjectModels", "objectmodels", Verb::List),
            ("GetObjectModel", "objectmodels", Verb::Get),
            ("DeleteObjectModel", "objectmodels", Verb::Delete),
        ],
    ),
    (
        "Diagnostics",
        &[("Diagnose", "devices/diagnosis", Verb::Get)],
    ),
    (
        "Cluster",
        &[
            ("GetClusterStatus", "cluster", Verb::Get),
            ("AddNode", "cluster", Verb::Create),
            ("PromoteNode", "cluster", Verb::Update),
            ("RemoveNode", "cluster", Verb::Delete),
            ("SetLeadership", "cluster", Verb::Update),
            ("UnstickNode", "cluster", Verb::Update),
        ],
    ),
    (
        // Everything that is known of all devices is in them.
        "Backups",
        &[
            ("PrepareBackup", "backups", Verb::Create),
            ("ReadBackupFile", "backups", Verb::Get),
            ("ReleaseBackup", "backups", Verb::Delete),
        ],
    ),
];
