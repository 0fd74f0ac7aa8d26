//! Enums of codes: values with stable names.

/// Declares an enum of codes: each variant once, with its meaning and its stable name.
///
/// The enum has `ALL` (all codes), `name` and `meaning`, is displayed and serialized as its name, and is ordered as declared.
#[macro_export]
macro_rules! named_codes {
    ($(#[$enum_doc:meta])* $visibility:vis enum $code:ident {
        $($(#[doc = $doc:literal])* $variant:ident => $name:literal,)*
    }) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl $code {
            /// All codes, as declared.
            $visibility const ALL: &[$code] = &[$($code::$variant,)*];

            /// Returns the stable name.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $($code::$variant => $name,)*
                }
            }
        }

        impl $code {
            /// Returns the meaning, as the documentation of the variant states it.
            #[must_use]
            $visibility fn meaning(self) -> &'static str {
                match self {
                    $($code::$variant => concat!($($doc),*).trim_start(),)*
                }
            }
        }

        impl std::fmt::Display for $code {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl serde::Serialize for $code {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
