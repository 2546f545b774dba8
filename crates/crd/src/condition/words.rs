//! Words of the API: an enum whose variants stand in etcd as they are written here.

/// An enum of words with `ALL`, `as_str`, `from_word` and `Display`.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $word:ident, )+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])* $word, )+ }

        impl $name {
            /// Each of them.
            pub const ALL: &[Self] = &[ $( Self::$word, )+ ];

            /// The word as it stands in a condition.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$word => stringify!($word), )+ }
            }

            /// The one that stands in a condition as this word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;
