//! What a device does next (LwM2M Core 1.2 §E.6).
