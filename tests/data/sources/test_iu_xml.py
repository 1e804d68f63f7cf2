from __future__ import annotations

from pathlib import Path

import pytest

from monai_place.data.sources.iu_xml import read_indiana_report

WHOLE = """<?xml version="1.0" encoding="utf-8"?>
<eCitation>
  <meta type="rr"/><uId id="CXR1"/><pmcId id="1"/><title>Indiana University Chest X-ray Collection</title>
  <MedlineCitation><Article><Abstract>
    <AbstractText Label="COMPARISON">None.</AbstractText>
    <AbstractText Label="INDICATION">Positive TB test</AbstractText>
    <AbstractText Label="FINDINGS">The heart  is normal in size, 3 &lt; 4 &amp;
      clear lungs.</AbstractText>
    <AbstractText Label="FINDINGS">No effusion.</AbstractText>
    <AbstractText Label="IMPRESSION"/>
  </Abstract></Article></MedlineCitation>
  <MeSH><major>Cardiomegaly/mild</major><major>normal</major><minor>Lung</minor><automatic>heart</automatic></MeSH>
  <parentImage id="CXR1_1_IM-0001-3001"><figureId>F1</figureId><caption>PA</caption></parentImage>
  <parentImage id="CXR1_1_IM-0001-4001"/>
  <parentImage/>
</eCitation>
"""
HEAD = '<?xml version="1.0"?>\n'
BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol" * 10}">' for n in range(10))


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "1.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("text", [WHOLE, WHOLE.replace("\n", "\r\n"), b"\xef\xbb\xbf" + WHOLE.encode()])
def test_sections_terms_and_images_are_read(text: str | bytes, tmp_path: Path) -> None:
    report = read_indiana_report(write(tmp_path, text))
    assert report.name == "CXR1"
    assert report.sections == {
        "COMPARISON": "None.",
        "INDICATION": "Positive TB test",
        "FINDINGS": "The heart is normal in size, 3 < 4 & clear lungs. No effusion.",
    }
    assert report.mesh == ["Cardiomegaly/mild", "normal"]
    assert report.images == ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{HEAD}<!DOCTYPE x [{BOMB}]><x><uId id='a'/>&l9;</x>", id="billion laughs"),
        pytest.param(f'{HEAD}<!DOCTYPE x [<!ENTITY e SYSTEM "SECRET">]><x>&e;</x>', id="external entity"),
        pytest.param(f'{HEAD}<!DOCTYPE x SYSTEM "SECRET"><x/>', id="external document type"),
        pytest.param(f'{HEAD}<!DOCTYPE x [<!ENTITY % e SYSTEM "SECRET"> %e;]><x/>', id="parameter entity"),
        pytest.param(f"{HEAD}<!DOCTYPE x [{BOMB}]><x/>".encode("utf-16"), id="in another encoding"),
    ],
)
def test_document_types_and_entities_are_refused_before_anything_is_read_or_grows(
    text: str | bytes, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret")
    text = text.replace("SECRET", secret.as_uri()) if isinstance(text, str) else text
    with pytest.raises(ValueError, match=r"1\.xml: declares a document type or entities") as caught:
        read_indiana_report(write(tmp_path, text))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "no XML: no element found, line 1", id="empty"),
        pytest.param(WHOLE[:400], "no XML: ", id="cut off"),
        pytest.param("uId: CXR1", "no XML: ", id="text"),
        pytest.param(f"{HEAD}<x>&undefined;</x>", "no XML: undefined entity", id="unknown entity"),
        pytest.param(f"{HEAD}<x><AbstractText>Smith</AbstractText></x>", "no uId", id="no name"),
        pytest.param(f"{HEAD}{'<x>' * 100}", "elements nested deeper than 64", id="deep"),
        pytest.param(f"{HEAD}<x>{' ' * (1 << 20)}</x>", "larger than 1048576 bytes", id="large"),
    ],
)
def test_what_is_no_report_is_refused_with_its_name_and_without_its_text(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"1\.xml: {message}") as caught:
        read_indiana_report(write(tmp_path, text))
    assert "Smith" not in str(caught.value)
