//! Closed sets of values, each with its word.

/// Declares an enum whose values each have a word: the enum, every value in `ALL`, and the function of the word.
macro_rules! words {
    ($(#[$attribute:meta])* $name:ident {
        $(#[$about:meta])*
        $word:ident;
        $($(#[$doc:meta])* $variant:ident $(= $number:literal)? => $text:literal,)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant $(= $number)?,)*
        }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            $(#[$about])*
            pub fn $word(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

pub(crate) use words;
