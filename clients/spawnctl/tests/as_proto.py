"""What spawnctl writes as JSON, held against the contract's own descriptors."""
import re
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "proto" / "tests"))
import contract  # noqa: E402

MESSAGES = contract.messages()
ID = re.compile("[0-9a-f]{16}")


def enum_words(enum):
    """The values' names without their prefix."""
    zero = enum.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix) for value in enum.values}


def check_value(field, value, where):
    if field.type == field.TYPE_MESSAGE:
        check(field.message_type.name, value, where)
    elif field.type == field.TYPE_ENUM:
        assert value in enum_words(field.enum_type), (where, value)
    elif field.type == field.TYPE_FIXED64:
        assert isinstance(value, str) and ID.fullmatch(value), (where, value)
    elif field.type == field.TYPE_BOOL:
        assert isinstance(value, bool), (where, value)
    elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        assert isinstance(value, str), (where, value)
    else:
        assert value is None or (isinstance(value, int) and not isinstance(value, bool)), (
            where, value)


def check(message, value, where=""):
    """value has every field of the message, but absent messages, and no other; each of its type."""
    descriptor = MESSAGES[message].DESCRIPTOR
    unknown = set(value) - set(descriptor.fields_by_name)
    assert not unknown, (where or message, "not in the protocol", unknown)
    for field in descriptor.fields:
        place = f"{where}/{field.name}"
        repeated = field.label == field.LABEL_REPEATED
        if field.type == field.TYPE_MESSAGE and not repeated and field.name not in value:
            continue
        assert field.name in value, (place, "is missing")
        for one in value[field.name] if repeated else [value[field.name]]:
            check_value(field, one, place)
