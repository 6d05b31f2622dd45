"""CSV and TSV: columns, parts, compression, and mistakes with their lines."""

import gzip
import lzma
import zipfile

import numpy as np
import pytest

from distill_jax import data
from distill_jax.data.corpus import with_facts
from distill_jax.data.delimited import Columns, columns, read_table
from distill_jax.errors import DataError

TEXTS = "text,label\nGood film!, pos\n\"Bad, bad film\",neg\n"
ROWS = "".join(
    f"word{i % 3} film,{'pos' if i % 2 else 'neg'}\n" for i in range(20))
TABLE = "label,a,b\n" + "".join(f"{'xy'[i % 2]},{i},{-i}.5\n" for i in range(8))


def _folder(tmp_path, **files):
  for name, content in files.items():
    file = tmp_path / name.replace("__", ".")
    if isinstance(content, str):
      content = content.encode()
    file.write_bytes(content)
  return tmp_path


def _read(place, query="?text=text", **options):
  options = {"preprocessing": "word_vectors", **options}
  return data.read(f"csv:{place}{query}", **options)


def test_spec():
  assert columns("a/b.csv?text=t&label=l&tokens=spaces") == (
      "a/b.csv", Columns(text="t", label="l", tokens="spaces"))
  assert columns("a?features=x, y&test=0.25")[1] == Columns(
      features=("x", "y"), test=0.25)
  assert columns("a?text=C++ %26 D")[1].text == "C++ & D"
  for query, message in (("txt=a", "got 'txt=a'"), ("text", "got 'text'"),
                         ("text=", "after its"), ("text=a&text=b", "each once"),
                         ("text=a&features=b", "not both"),
                         ("delimiter=both", "one character.*'both'"),
                         ("test=1", r"test in \[0, 1\)"),
                         ("test=x", r"test in \[0, 1\)"), ("text=label",
                                                           "another column")):
    with pytest.raises(DataError, match=message):
      columns(f"a?{query}")


def test_texts_in_parts(tmp_path):
  folder = _folder(
      tmp_path,
      train__csv="text,label\n" + ROWS,
      Val__csv=TEXTS,
      testing__tsv="label\ttext\npos\t\"Good, film\nneg\tends\"\n",
      notes__md="x")
  source = _read(folder)
  assert source.train.num_samples == 20
  assert source.validation.num_samples == 2 and source.test.num_samples == 2
  assert source.class_names == ("neg", "pos")
  assert source.validation.labels.tolist() == [1, 0]
  raw = data.texts(f"csv:{folder}?text=text&tokens=spaces")
  assert raw["x_validation"] == ["Good film!", "Bad, bad film"]
  assert raw["tokens"] == "spaces"
  assert data.texts("digits") is None


@pytest.mark.parametrize("pack", [gzip, lzma])
def test_packed(tmp_path, pack):
  end = {gzip: "gz", lzma: "xz"}[pack]
  content = pack.compress(("\ufeff  \ntext,label\n" + ROWS + " \n").encode())
  folder = _folder(tmp_path, **{f"t__csv__{end}": content})
  assert _read(folder / f"t.csv.{end}").train.num_samples == 16


@pytest.mark.parametrize(
    ("content", "query"), [(TABLE.replace(",", ";"), ""),
                           (TABLE.replace(",", "\t"), ""),
                           ("sep=,\n" + TABLE, ""),
                           ('"sep=|"\n' + TABLE.replace(",", "|"), ""),
                           (TABLE.replace(",", ":"), "?delimiter=:"),
                           (TABLE.replace(",", ";"), "?delimiter=semicolon"),
                           (TABLE.encode("utf-16"), ""),
                           (TABLE + ",,\n,,\n", ""), ("\n\r\n" + TABLE, "")])
def test_delimiters_and_first_lines(tmp_path, content, query):
  file = _folder(tmp_path, t__csv=content) / "t.csv"
  source = data.read(f"csv:{file}{query}", test_fraction=0)
  assert source.facts["columns"] == ["a", "b"]
  assert source.train.inputs[3].tolist() == [3, -3.5]


def test_a_zip_of_one_table(tmp_path):
  path = tmp_path / "t.csv"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("__MACOSX/._t.csv", "x")
    archive.writestr("data/t.csv", TABLE)
  assert data.read(f"csv:{path}").num_classes == 2
  with zipfile.ZipFile(path, "a") as archive:
    archive.writestr("data/more.csv", TABLE)
  with pytest.raises(DataError, match="one such file.*t.csv, data/more.csv"):
    data.read(f"csv:{path}")


def test_columns_without_a_name_are_left_out(tmp_path):
  rows = [f"{i},{line},,{i}" for i, line in enumerate(TABLE.splitlines()[1:])]
  file = _folder(
      tmp_path, t__csv="\n".join([",label,a,b,,Unnamed: 0", *rows])) / "t.csv"
  source = data.read(f"csv:{file}?test=0")
  assert source.facts["columns"] == ["a", "b"]
  assert "left out: 3 of t.csv" in source.facts["left_out"]
  named = data.read(f"csv:{file}?features=Unnamed: 0&test=0")
  assert named.train.inputs[:, 0].tolist() == list(range(8))
  assert "left_out" not in named.facts
  spam = "v1,v2,,\n" + "".join(
      f"{'ab'[i % 2]},call {i % 3},,\n" for i in range(9))
  file = _folder(tmp_path, spam__csv=spam) / "spam.csv"
  assert _read(file, "?text=v2&label=v1").num_classes == 2


@pytest.mark.parametrize(("first", "name"), [(0, "index"), (1, "Id"),
                                             (892, "PassengerId"),
                                             (10, "row_no"), (7, "sample ID")])
def test_columns_that_number_the_rows_are_left_out(tmp_path, first, name):
  lines = TABLE.splitlines()
  rows = [f"{i},{i},{line}" for i, line in enumerate(lines[1:], first)]
  file = tmp_path / "t.csv"
  file.write_text("\n".join([f"{name},Unnamed: 0.1,{lines[0]}", *rows]))
  source = data.read(f"csv:{file}?test=0")
  assert source.facts["columns"] == ["a", "b"]
  assert f"number the rows are left out of t.csv: {name}" in source.facts[
      "left_out"]
  named = data.read(f"csv:{file}?test=0&features={name},a")
  assert named.train.inputs[:, 0].tolist() == [*range(first, first + len(rows))]
  rows[0] = "9" + rows[0]  # it counts nothing
  file.write_text("\n".join([f"{name},Unnamed: 0.1,{lines[0]}", *rows]))
  assert data.read(f"csv:{file}?test=0").facts["columns"] == [name, "a", "b"]


@pytest.mark.parametrize("name", ["year", "grid", "t", "7", "void"])
def test_other_columns_that_count_are_named(tmp_path, name):
  lines = TABLE.splitlines()
  rows = [f"{1990 + i},{line}" for i, line in enumerate(lines[1:])]
  file = tmp_path / "t.csv"
  file.write_text("\n".join([f"{name},{lines[0]}", *rows]))
  source = data.read(f"csv:{file}?test=0")
  assert source.facts["columns"] == [name, "a", "b"]
  assert "left_out" not in source.facts
  assert f"in each row: {name}, a; if they" in source.facts["numbering"]
  _, lines = with_facts(source, per_class=1, num_rows=None)
  assert source.facts["numbering"] in lines
  said = data.read(f"csv:{file}?test=0&features=a,{name}").facts
  assert "numbering" not in said


@pytest.mark.parametrize(
    "cells", [
        "7,8", "7,8,8,9", "7,8,10,11", "9,8,7,6", "07,8,9,10",
        "1.0,2.0,3.0,4.0", "1,1,1,1", "-1,0,1,2"
    ])
def test_columns_that_count_nothing_stay(tmp_path, cells):
  rows = [f"{n},{'xy'[i % 2]}" for i, n in enumerate(cells.split(","))]
  file = tmp_path / "t.csv"
  file.write_text("\n".join(["id,label", *rows]))
  found = read_table(file, Columns())
  assert found["columns"] == ("id",)
  assert not {"left_out", "numbering"} & set(found)


def test_names_of_columns_in_another_case(tmp_path):
  file = tmp_path / "t.csv"
  file.write_text(TABLE.replace("label", "LABEL").replace("a,", "cafe\u0301,"))
  source = data.read(f"csv:{file}?test=0&features=caf\u00e9,B")
  (tmp_path / "u.csv").write_text(TABLE)
  expected = data.read(f"csv:{tmp_path}/u.csv?test=0")
  np.testing.assert_array_equal(source.train.inputs, expected.train.inputs)
  file.write_text("Label,LABEL,b\n" + "x,y,1\n" * 9)
  with pytest.raises(DataError, match="no 'label', only Label, LABEL"):
    data.read(f"csv:{file}")


@pytest.mark.parametrize("code", ["utf-32", "utf-16", "utf-8-sig"])
def test_encodings_with_a_mark(tmp_path, code):
  file = tmp_path / "t.csv"
  file.write_bytes(TABLE.encode(code))
  assert data.read(f"csv:{file}?test=0").facts["columns"] == ["a", "b"]


def test_encodings_without_a_mark(tmp_path):
  file = tmp_path / "t.csv"
  for code in ("utf-16-le", "utf-32-be"):
    file.write_bytes(TABLE.encode(code))
    with pytest.raises(DataError, match="UTF-8; .*t.csv has NUL.*Convert"):
      data.read(f"csv:{file}")


def test_labels_mean_numbers(tmp_path):
  rows = [f"{i},{10 - i % 3}.0" for i in range(12)]
  folder = _folder(
      tmp_path,
      train__csv="\n".join(["a,label", *rows]),
      val__csv="a,label\n1,8\n2,10\n",
      test__csv="a,label\n1, 9 \n")
  source = data.read(f"csv:{folder}")
  assert source.class_names == ("8.0", "9.0", "10.0")
  assert source.validation.labels.tolist() == [0, 2]
  assert source.test.labels.tolist() == [1]


def test_unknown_options_are_named(tmp_path):
  file = _folder(tmp_path, t__csv="text,label\n" + ROWS) / "t.csv"
  with pytest.raises(DataError, match="keys among.*got lenght"):
    _read(file, text=dict(lenght=3))


def test_a_part_for_testing_is_held_out(tmp_path):
  file = _folder(tmp_path, t__csv="text,label\n" + ROWS) / "t.csv"
  source = _read(file, "?text=text&test=0.2")
  assert (source.train.num_samples, source.test.num_samples) == (16, 4)
  usual = _read(file, "?text=text")
  np.testing.assert_array_equal(source.test.inputs, usual.test.inputs)
  assert usual.facts["test_part"] == (
      "a fifth of every class became the test part: 4 of 20")
  whole = data.texts(f"csv:{file}?text=text", hold_out=False)
  assert len(whole["x_train"]) == 20
  assert np.bincount(source.test.labels).tolist() == [2, 2]


def test_tables(tmp_path):
  folder = _folder(tmp_path, train__csv=TABLE, test__csv=TABLE)
  source = data.read(f"csv:{folder}")
  assert source.train.inputs.shape == (8, 2)
  assert source.train.inputs[3].tolist() == [3, -3.5]
  np.testing.assert_allclose(
      source.train.encode(source.train.inputs).std(0), 1, rtol=1e-5)
  one = data.read(f"csv:{folder}?features=b")
  assert one.train.inputs.shape == (8, 1)


@pytest.mark.parametrize(("content", "query", "message"), [
    (TEXTS, "?text=body", "no 'body', only text, label"),
    (TEXTS, "?text=text&label=class", "no 'class'"),
    ("text,label\n", "?text=text", "rows below column names"),
    (
        "text,label\na,pos\n ,neg\n", "?text=text",
        "no missing values in column 'text'.*has ' ' in line 3"),
    ("text,label\na,pos\nb,\n", "?text=text", "'label'.*has '' in line 3"),
    (
        "text,label\na,pos\nb,N/A\n", "?text=text",
        "'N/A' in line 3.*Drop.*class"),
    ("text,label\na,pos\nNULL,b\n", "?text=text", "'text'.*'NULL' in line 3"),
    (
        "text,label\na,0\nb,1\nc,0.0\nd,1\n", "?text=text&test=0",
        "'0' and '0.0'"),
    ("text,label\na,b,c\n", "?text=text", "2 cells.*has 3 in line 2"),
    ('text,label\na,b\n"c"d,e\n', "?text=text", "well-formed.*in line 3"),
    (
        "text,label\na,b\nc,d\ne\xff,f\n".encode("latin-1"), "?text=text",
        "UTF-8.*in line 4"),
    (
        "text,label\na,pos\n\"" + "x" * 10_000_000, "?text=text",
        "in line 3.*quote not closed"),
    (
        'text,label\n\n"a\nb",pos\n"c,neg\nd,neg\n', "?text=text",
        "in line 5.*quote not closed"),
    ('text,label\n"c,neg\n"d",pos\n', "?text=text", "line 2.*quote not closed"),
    ('text,label\n"a\nb",pos\n"c\nd"\n', "?text=text", "has 1 in line 4"),
    ("text,label\na,pos\nb,pos\n", "?text=text", "two classes"),
    (
        "text,text,label\na,b,c\n", "?text=text",
        "different names.*2 called 'text'"),
    ("text,label\na,pos\n--,neg\n", "", "numbers in column 'text'.*line 2"),
    ("# me\na,label\n1,x\n2,y\n", "", "no 'label', only # me.*comment: delete"),
    (
        "# me, you\na,label\n1,x\n2,y\n", "",
        "first line is a comment: delete it"),
    ("a,label\n1,x\n2,y\n# end\n", "", "2 cells.*has 1 in line 4.*comments"),
    ("a;label;b,c\n1;x;2\n", "", "delimiters ','. Give another delimiter="),
    ("a;label\n1,5;x\n2;y\n", "", "'1,5' in line 2.*decimals with a p"),
    (
        ",".join(f"c{i}" for i in range(784)) + "\n" + ",".join("0" * 784), "",
        "c9 and 774 more, between"),
    ("0,0,x\n1,2,y\n", "", "only 0, 0, x, between.*first line must be names"),
    ("a,label\ninf,x\n2,y\n", "", "finite.*'inf' in line 2. Drop"),
    ("a,label\n1,x\n1_0,y\n", "", "numbers.*'1_0' in line 3"),
    ("label\na\nb\n", "", "columns besides the label"),
    ("a,label\n1,x\nnan,y\n", "?test=0", "'a'.*has 'nan' in line 3")
])
def test_mistakes_are_named(tmp_path, content, query, message):
  file = _folder(tmp_path, t__csv=content) / "t.csv"
  with pytest.raises(DataError, match=message) as caught:
    data.read(
        f"csv:{file}{query}",
        preprocessing="word_vectors" if query else "standardise")
  message = str(caught.value)
  assert "\n" not in message and len(message.replace(str(file), "")) < 240


def test_mistakes_of_folders(tmp_path):
  folder = _folder(tmp_path, test__csv=TEXTS)
  with pytest.raises(DataError, match="must hold train.csv"):
    _read(folder)
  _folder(tmp_path, train__csv=TEXTS, train__tsv=TEXTS)
  with pytest.raises(DataError, match="train.csv and train.tsv"):
    _read(folder)
  (tmp_path / "train.tsv").unlink()
  with pytest.raises(DataError, match="where there is a test part"):
    _read(folder, "?text=text&test=0.5")
  (tmp_path / "test.csv").write_text("text\nfine\n")
  with pytest.raises(DataError, match="has no 'label', only text.*Move a file"):
    _read(folder)
  (tmp_path / "test.csv").write_text("text,label\nfine,soso\n")
  with pytest.raises(DataError, match="test.csv has 'soso' in line 2"):
    _read(folder)
  with pytest.raises(DataError, match="must name what exists"):
    _read(tmp_path / "absent")
  with pytest.raises(DataError, match="word_vectors or averaged_vectors"):
    _read(folder, preprocessing="standardise")


def test_columns_of_a_table_have_names_and_the_order_of_train(tmp_path):
  rows = "\n".join(f"{i},{-i},{'xy'[i % 2]}" for i in range(8))
  turned = "\n".join(f"{'xy'[i % 2]},{-i},{i}" for i in range(8))
  folder = _folder(
      tmp_path,
      train__csv=f"a,b,label\n{rows}\n",
      test__csv=f"label,b,a\n{turned}\n")
  source = data.read(f"csv:{folder}")
  assert source.facts["columns"] == ["a", "b"]
  np.testing.assert_array_equal(source.test.inputs, source.train.inputs)
  with pytest.raises(DataError, match="`columns` must name"):
    data.from_arrays(np.eye(3), [0, 1, 0], columns="ab", test_fraction=0)


@pytest.mark.parametrize("number", ["{}.5", "{}7"])
def test_numbers_to_predict_are_no_classes(tmp_path, number):
  rows = "".join(f"{i},{number.format(i % 30)}\n" for i in range(90))
  folder = _folder(tmp_path, t__csv="a,price\n" + rows)
  with pytest.raises(DataError, match="30 different numbers.*Regression"):
    data.read(f"csv:{folder / 't.csv'}?label=price")
  rows = "".join(f"{i},{i % 30 + 1}\n" for i in range(90))
  folder = _folder(tmp_path, t__csv="a,price\n" + rows)
  assert data.read(f"csv:{folder / 't.csv'}?label=price").num_classes == 30


def test_endless_blank_lines_of_a_packed_file_are_refused(tmp_path):
  path = tmp_path / "table.csv.gz"
  path.write_bytes(gzip.compress(b"text,label\na,0\n" + b"\n" * (10**6 + 9)))
  with pytest.raises(DataError, match="at most 1,000,000 blank lines"):
    data.read(f"csv:{path}?text=text")
