"""Sentences with labels, from CoNLL-U and from columns."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from elman._errors import ConfigError, DataError
from elman.data import BadRows, read_tagged

CONLLU = """# sent_id = 1
# text = I can't go
1\tI\tI\tPRON\tPRP\t_\t4\tnsubj\t_\t_
2-3\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
2\tca\tcan\tAUX\tMD\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\t_
4\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
4.1\tgone\tgo\tVERB\tVB\t_\t_\t_\t_\t_

1\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""


def read(path: Path, content: str, action: str = "error", **options: str) -> list[object]:
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    bad = BadRows(action)  # type: ignore[arg-type]
    found = [tuple(r.values.values()) for r in read_tagged(path, bad, **options)]
    return [*found, *bad.skipped]


@pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz"])
def test_conllu_leaves_out_ranges_and_empty_nodes(tmp_path: Path, name: str) -> None:
    assert read(tmp_path / name, CONLLU) == [
        (["I", "ca", "n't", "go"], ["PRON", "AUX", "PART", "VERB"]),
        (["#"], ["SYM"]),
    ]
    assert read(tmp_path / name, CONLLU, tag="xpos")[1] == (["#"], ["NN"])
    with pytest.raises(ConfigError, match=r"no column 'pos' for data.tag: did you mean"):
        read(tmp_path / name, CONLLU, tag="pos")


@pytest.mark.parametrize("gap", ["\t", " ", "   "])
def test_two_columns_or_more(tmp_path: Path, gap: str) -> None:
    lines = ["-DOCSTART- -X- O", "", "EU NNP B-ORG", "rejects VBZ O", "", "", "Bonn NNP B-LOC"]
    content = "\n".join(line.replace(" ", gap) for line in lines)
    expected = [(["EU", "rejects"], ["B-ORG", "O"]), (["Bonn"], ["B-LOC"])]
    assert read(tmp_path / "a.txt", content) == expected
    assert read(tmp_path / "a.txt", content, tag="2")[1] == (["Bonn"], ["NNP"])


def test_a_malformed_line_spoils_its_sentence_only(tmp_path: Path) -> None:
    content = "a\tX\n\nb\tX\nlonely\n\nc\tX\n"
    with pytest.raises(DataError, match=r"a.tsv, line 4: expected a word .*, got 'lonely'"):
        read(tmp_path / "a.tsv", content)
    first, last, skipped = read(tmp_path / "a.tsv", content, "skip")
    assert (first, last) == ((["a"], ["X"]), (["c"], ["X"]))
    assert "line 4" in str(skipped)
    with pytest.raises(DataError, match=r"line 1: expected 10 fields, got 2"):
        read(tmp_path / "a.conllu", content)


@pytest.mark.parametrize("tag", ["upos", "0", "-1"])
def test_a_column_of_labels_has_a_number(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ConfigError, match="the number of the label's column"):
        read(tmp_path / "a.txt", "a X\n", tag=tag)


@pytest.mark.parametrize("name", ["a.txt", "a.conllu"])
def test_bytes_in_another_encoding_spoil_their_sentence(tmp_path: Path, name: str) -> None:
    bad = BadRows("skip")
    (tmp_path / name).write_bytes("caf\xe9 X\n".encode("latin-1"))
    assert not list(read_tagged(tmp_path / name, bad))
    assert "line 1: byte 0xe9 is not utf-8" in bad.skipped[0]
