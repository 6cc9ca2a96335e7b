//! Closed sets of words: enums whose spelling is part of the contract.

/// Declares an enum together with the words that rows, messages and users know its values by.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $value:ident = $word:literal ),+ $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        pub enum $name { $( $(#[$doc])* #[serde(rename = $word)] $value ),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[$name] = &[ $( $name::$value ),+ ];

            /// The word that stands for this value in rows, messages and output.
            pub const fn word(self) -> &'static str {
                match self { $( $name::$value => $word ),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::words::UnknownWord;
            fn from_str(text: &str) -> Result<$name, crate::words::UnknownWord> {
                $name::ALL.iter().copied().find(|value| value.word() == text).ok_or_else(|| {
                    let known = $name::ALL.iter().map(|value| value.word()).collect();
                    crate::words::UnknownWord::new(text, known)
                })
            }
        }
    };
}

pub(crate) use words;

/// A word that is none of those that may stand here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` is none of {}", known.join(", "))]
pub struct UnknownWord {
    found: String,
    known: Vec<&'static str>,
}

impl UnknownWord {
    pub(crate) fn new(found: &str, known: Vec<&'static str>) -> UnknownWord {
        // Whatever stands in somebody's row may be long; its beginning is enough.
        UnknownWord { found: found.chars().take(40).collect(), known }
    }
}
