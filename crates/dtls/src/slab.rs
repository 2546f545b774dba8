//! Storage with keys that are never reused.

const CHUNK: usize = 1024;

struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values in chunks, so that growing neither moves them nor doubles the memory. A key is the
/// slot's generation above its index.
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    len: usize,
}

const fn split(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Slots ever used; indices are below this.
    pub(crate) fn slots(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    pub(crate) fn insert(&mut self, value: T) -> u64 {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slot_mut(index)
        {
            slot.value = Some(value);
            return u64::from(slot.generation) << 32 | u64::from(index);
        }
        let index = self.slots() as u64;
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let slot = Slot {
            generation: 1,
            value: Some(value),
        };
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(slot);
        }
        1 << 32 | index
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let (generation, index) = split(key);
        let slot = self.slot(index)?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let (generation, index) = split(key);
        let slot = self.slot_mut(index)?;
        slot.value
            .as_mut()
            .filter(|_| slot.generation == generation)
    }

    /// The value in a slot and its key.
    pub(crate) fn at(&self, index: u32) -> Option<(u64, &T)> {
        let slot = self.slot(index)?;
        let value = slot.value.as_ref()?;
        Some((u64::from(slot.generation) << 32 | u64::from(index), value))
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let (generation, index) = split(key);
        let slot = self.slot_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        // A slot whose generations are used up is left empty for good.
        let next = slot.generation.checked_add(1);
        if let Some(next) = next {
            slot.generation = next;
            self.free.push(index);
        }
        self.len -= 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_key_never_finds_the_next_value_in_its_slot() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first as u32, second as u32);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!((slab.len(), slab.slots()), (1, 1));
    }
}
