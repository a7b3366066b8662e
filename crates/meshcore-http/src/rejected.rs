//! Why a message was refused.

macro_rules! rejected {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $reason:literal;)*) => {
        /// Why a message was refused. The connection it came on must be closed after the answer,
        /// because where the next message starts is no longer certain.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum Rejected {
            $(#[doc = $reason] $variant,)*
        }

        impl Rejected {
            /// Every reason, for tables of metrics and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Status to answer a client with. Source: RFC 9110 §15.5, §15.6; RFC 9112 §3, §6.
            ///
            /// When an upstream's response was refused the client gets
            /// [`Rejected::UPSTREAM_STATUS`] instead.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            /// What is wrong, in lower case without a full stop.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)*
                }
            }
        }
    };
}

rejected! {
    BadMethod = 400, "method is not a token of at most 32 characters followed by one space";
    BadTarget = 400, "request target has a form or a character that is not allowed";
    TargetTooLong = 414, "request target is longer than the limit";
    BadVersion = 400, "request line does not end in one space, a version and CRLF";
    UnsupportedVersion = 505, "version is neither HTTP/1.0 nor HTTP/1.1";
    HeadTooLarge = 431, "head is larger than the limit";
    TooManyFields = 431, "head has more fields than the limit";
    BadFieldName = 400, "field name is not a token followed by a colon";
    SpaceBeforeColon = 400, "whitespace between field name and colon";
    ObsoleteFold = 400, "line starts with whitespace (obsolete line folding)";
    BadFieldValue = 400, "field value has a control character";
    BareCr = 400, "CR without LF";
    BareLf = 400, "LF without CR";
    AliasedName = 400, "field name spells a framing or identity field with an underscore";
    MissingHost = 400, "HTTP/1.1 request without Host";
    DuplicateHost = 400, "more than one Host";
    BadAuthority = 400, "host or port of the authority is not valid";
    UserInfo = 400, "authority with user information";
    AuthorityMismatch = 400, "Host differs from the authority of the target";
    BadContentLength = 400, "Content-Length is not one decimal number";
    DuplicateContentLength = 400, "more than one Content-Length";
    LengthAndEncoding = 400, "both Content-Length and Transfer-Encoding";
    BadTransferEncoding = 400, "Transfer-Encoding does not end in chunked, once";
    UnsupportedEncoding = 501, "Transfer-Encoding other than chunked";
    EncodingOnHttp10 = 400, "Transfer-Encoding in an HTTP/1.0 message";
    BodyOnConnect = 400, "CONNECT with a body";
    BadConnection = 400, "Connection has an option that is not a token, or too many options";
    BadUpgrade = 400, "Upgrade is not a list of protocols";
    UnknownExpectation = 417, "Expect other than 100-continue";
    BadChunkSize = 400, "chunk size is not 1 to 16 hexadecimal digits of a possible length";
    BadChunkExtension = 400, "chunk extension is malformed or longer than the limit";
    BadChunkEnd = 400, "chunk data is not followed by CRLF";
    TrailersTooLarge = 431, "trailer section is larger than the limit";
    Truncated = 400, "connection closed before the end of the body";
    BadStatusLine = 400, "status line is not a version, a three-digit status and a reason";
    BadPseudoField = 400, "pseudo-field is missing, repeated or not allowed here";
    ConnectionField = 400, "connection-specific field in an HTTP/2 message";
}

impl Rejected {
    /// Status for the client when an upstream's response was refused. Source: RFC 9110 §15.6.3.
    pub const UPSTREAM_STATUS: u16 = 502;
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Rejected {}
