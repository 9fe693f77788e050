"""What can be wrong with a server."""

from enum import StrEnum, auto


class Fault(StrEnum):
    """Each stands for one thing that keeps ChatGPT or Claude from a server, or people from using it well there."""

    # The endpoint.
    REDIRECTS = auto()
    REDIRECTS_ELSEWHERE = auto()
    EMPTY_IS_REFUSED = auto()
    NO_DISCOVER = auto()
    DISCOVER_WITHOUT_THE_VERSION = auto()
    NO_INITIALIZE = auto()
    NEEDS_A_SESSION = auto()
    # Where to sign in.
    NO_CHALLENGE = auto()
    CHALLENGE_WITHOUT_METADATA = auto()
    NO_RESOURCE_METADATA = auto()
    RESOURCE_METADATA_IS_A_PAGE = auto()
    ENDLESS_RESOURCE_METADATA = auto()
    RESOURCE_IS_ANOTHER = auto()
    NO_ISSUER_METADATA = auto()
    ISSUER_WITH_A_SLASH = auto()
    NO_S256 = auto()
    NO_PUBLIC_CLIENTS = auto()
    # Signing in.
    NO_WAY_TO_REGISTER = auto()
    REGISTRATION_FAILS = auto()
    ONE_REDIRECT_ONLY = auto()
    ISS_IS_NOT_SENT = auto()
    ISS_IS_ANOTHER = auto()
    STATE_IS_LOST = auto()
    FOREIGN_SIGN_IN = auto()
    PAGES_CAN_BE_FRAMED = auto()
    # Tokens.
    VERIFIER_IS_NOT_CHECKED = auto()
    NO_REFRESH_TOKEN = auto()
    REFRESH_FAILS = auto()
    REFRESH_BEARS_NO_REPETITION = auto()
    CODE_COUNTS_TWICE = auto()
    TOKEN_IS_FOR_ANOTHER = auto()
    ANY_TOKEN_COUNTS = auto()
    # Tools.
    LONG_NAME = auto()
    DOTTED_NAME = auto()
    COMMANDS_IN_A_NAME = auto()
    TWO_OF_A_NAME = auto()
    NO_DESCRIPTION = auto()
    NO_READ_ONLY_HINT = auto()
    SECURITY_NOT_MIRRORED = auto()
    LONG_STATUS = auto()
    SCHEMA_OF_ANOTHER_PLACE = auto()
    SCHEMA_IS_A_CHOICE = auto()
    SCHEMA_IS_NO_OBJECT = auto()
    FILE_WITHOUT_ADDRESS = auto()
    OTHER_TOOLS_IN_THE_OLD_ERA = auto()
    RESULT_WITHOUT_SCHEMA = auto()
    TEXT_TELLS_ANOTHER_STORY = auto()
    SECRET_IN_A_RESULT = auto()
    STEP_UP_WITHOUT_WORDS = auto()
    NO_PROFILE = auto()
    # Pages.
    PAGE_CANNOT_BE_READ = auto()
    PAGE_OF_ANOTHER_KIND = auto()
    NO_OPENAI_POLICY = auto()
    NO_STANDARD_POLICY = auto()
    POLICIES_DISAGREE = auto()
    PAGE_LOADS_MORE = auto()
    DOMAIN_IS_NO_ORIGIN = auto()
    PAGE_FOR_CHATGPT_ONLY = auto()
