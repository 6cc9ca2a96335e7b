//! Enums whose values have a fixed spelling in rows, messages and output.

/// Declares an enum together with the string of each value.
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

            /// This value's string in rows, messages and output.
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

/// A string that is not a value of the enum.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{found}` is not one of {}", known.join(", "))]
pub struct UnknownVariant {
    found: String,
    known: Vec<&'static str>,
}

impl UnknownVariant {
    pub(crate) fn new(found: &str, known: Vec<&'static str>) -> UnknownVariant {
        // The string may come from a row and be long.
        UnknownVariant { found: found.chars().take(40).collect(), known }
    }
}
