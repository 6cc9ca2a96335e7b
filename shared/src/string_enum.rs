//! Closed sets of words: enums whose spelling is part of the contract.

/// Declares an enum together with the words that rows, messages and users know its values by.
macro_rules! string_enum {
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
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$value => $word ),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::string_enum::UnknownVariant;
            fn from_str(text: &str) -> Result<$name, crate::string_enum::UnknownVariant> {
                $name::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    let known = $name::ALL.iter().map(|value| value.as_str()).collect();
                    crate::string_enum::UnknownVariant::new(text, known)
                })
            }
        }
    };
}

pub(crate) use string_enum;

/// A word that is none of those that may stand here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` is none of {}", known.join(", "))]
pub struct UnknownVariant {
    found: String,
    known: Vec<&'static str>,
}

impl UnknownVariant {
    pub(crate) fn new(found: &str, known: Vec<&'static str>) -> UnknownVariant {
        // Whatever stands in somebody's row may be long; its beginning is enough.
        UnknownVariant { found: found.chars().take(40).collect(), known }
    }
}
