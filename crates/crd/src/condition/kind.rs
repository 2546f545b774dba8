//! What conditions are about.

use super::words::words;

words! {
    /// What a condition is about: `status.conditions[].type`.
    pub enum ConditionType {
        /// The spec is valid, and what it names is there.
        Accepted,
        /// The device has a live registration.
        Registered,
        /// Every desired resource is confirmed by the device.
        Synced,
        /// The device runs the firmware that a rollout brings it.
        FirmwareCurrent,
        /// Something is still being done.
        Progressing,
        /// Something that should hold does not.
        Degraded,
        /// Nothing further begins.
        Paused,
        /// As `Paused`, by the word of Jobs.
        Suspended,
        /// The bytes of an image are what the spec says, and signed by whom it says.
        Verified,
        /// Devices can get the image.
        Available,
        /// Nothing is left to do, whatever came of it.
        Complete,
        /// It ended, and not as it should.
        Failed,
        /// It ended as it should; false: it ended otherwise.
        Succeeded,
        /// Devices went back to what they had.
        RolledBack,
        /// Summary: what this generation asks for is so.
        Ready,
        /// Summary: it is not so yet, and will be without a person.
        Reconciling,
        /// Summary: it is not so, and stays so until a person does something.
        Stalled,
    }
}
