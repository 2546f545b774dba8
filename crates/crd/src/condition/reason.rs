//! Why conditions have their status.

use super::words::words;

words! {
    /// Why a condition has its status: `status.conditions[].reason`. Part of the API: a reason is
    /// never renamed.
    pub enum Reason {
        /// The spec is valid and in force.
        Accepted,
        /// The spec is not accepted; the condition Accepted tells why.
        NotAccepted,
        /// Something else has the same name or id, and had it before.
        IdentityConflict,
        /// The device was known before the object was (`FailIfExists`).
        AlreadyKnown,
        /// Another device proves itself with what the object has for this one.
        CredentialTaken,
        /// The object is being deleted, and its device is reset first.
        Wiping,
        /// Somebody else observes the same path with other parameters.
        ObservedOtherwise,
        /// The spec asks for something that this release cannot do.
        Unsupported,
        /// A path names an object or a resource without a known definition.
        UnknownObjectModel,
        /// A value, a path or the endpoint name cannot be what the spec says.
        InvalidValue,
        /// The filter cannot be read.
        InvalidFilter,
        /// The regular expression cannot be read.
        InvalidPattern,
        /// The definition of the object cannot be read.
        InvalidDefinition,
        /// The registry has this version of the object, or a newer one.
        NotNewer,
        /// A Secret is not there, or has not the key.
        SecretNotFound,
        /// A public key is not there.
        KeyNotFound,
        /// A certificate of an authority is not there.
        AuthorityNotFound,
        /// A DeviceGroup is not there.
        GroupNotFound,
        /// A SecurityProfile or a DeviceProfile is not there.
        ProfileNotFound,
        /// A Device is not there.
        DeviceNotFound,
        /// A FirmwareImage is not there.
        ImageNotFound,
        /// A FirmwareImage is there and not verified.
        ImageNotVerified,
        /// The selector selects no device.
        SelectorEmpty,
        /// Devices are held by another rollout.
        OverlapsRollout,
        /// Another profile says something else of the same path.
        Conflicts,
        /// The device is registered.
        Registered,
        /// The registration ended because its lifetime ran out.
        LifetimeExpired,
        /// The device deregistered.
        ClientDeregistered,
        /// The device is not registered; how its registration ended was not seen.
        NotRegistered,
        /// The device has never registered since the object exists.
        NeverSeen,
        /// All desired values are confirmed.
        InSync,
        /// Values wait to be written.
        Pending,
        /// The device refused every value that is not pending.
        Rejected,
        /// The device confirmed some values and refused others.
        PartiallyApplied,
        /// The device reported other values than the spec has (`ObserveOnly`).
        Drifted,
        /// The device has not reported a value to compare with (`ObserveOnly`).
        NotReported,
        /// Something is being written or put in force.
        Applying,
        /// Something waits for a device in queue mode to wake up.
        AwaitingWakeup,
        /// A device refused a value.
        WriteRejected,
        /// `managementPolicy` is `Suspended`, or the object is paused.
        Suspended,
        /// The members were counted.
        Evaluated,
        /// The members are being counted.
        Evaluating,
        /// The state tier follows the object.
        InForce,
        /// As many devices as the limits allow are there.
        QuotaExceeded,
        /// The API server does not take the objects that are to be made.
        ObjectsRefused,
        /// Nothing is wrong.
        AsExpected,
        /// The spec says so.
        UserPaused,
        /// The annotation drover.dev/paused of the object holds it.
        PausedByAnnotation,
        /// The annotation drover.dev/paused of its namespace holds it.
        PausedByNamespace,
        /// Nothing holds it.
        NotPaused,
        /// Too many devices failed.
        FailureThresholdExceeded,
        /// Too many devices do not answer.
        FleetUnhealthy,
        /// No window is open.
        OutsideWindow,
        /// A person must let the next step begin.
        AwaitingApproval,
        /// A wave is running.
        WaveRunning,
        /// A wave is being watched.
        Soaking,
        /// It has not succeeded in the time that it had.
        ProgressDeadlineExceeded,
        /// Devices did not answer in the time that they had.
        DeadlineExceeded,
        /// Nobody knows what became of it.
        OutcomeUnknown,
        /// It is going on.
        Running,
        /// It is through.
        Complete,
        /// It was aborted.
        Aborted,
        /// Devices refused it, or did not answer.
        DevicesFailed,
        /// The device runs the version of the rollout.
        UpToDate,
        /// The device waits for its turn in the rollout, or to wake up.
        UpdateScheduled,
        /// The rollout is bringing the device its version.
        Updating,
        /// The device could not be updated.
        UpdateFailed,
        /// The rollout left the device out, or it has got another version since.
        NotUpdated,
        /// The image is being fetched.
        Fetching,
        /// The image cannot be fetched.
        FetchFailed,
        /// The image has another length.
        SizeMismatch,
        /// The image has another digest.
        DigestMismatch,
        /// The signature is not one of the image.
        SignatureInvalid,
        /// The key is not one that is trusted.
        UntrustedKey,
        /// The image is right.
        Verified,
        /// Nobody has looked at the image's bytes.
        NotChecked,
        /// The image is not verified; the condition Verified tells why.
        NotVerified,
        /// The cluster has no package of this digest.
        NotStored,
        /// Devices can get the image.
        Available,
        /// The image is withdrawn.
        Yanked,
        /// The state nodes have no room for the image.
        StorageFull,
    }
}
