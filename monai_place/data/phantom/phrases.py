"""The words of the phantom's reports: templates for what is there, what may be there and what is not.

In a template, `{side}` is left or right, `{zone}` a name of the zone, `{grade}` a word for the severity, `{noun}` a
synonym of the class, `{size}` a diameter. Articles are written as `a` and mended afterwards.
"""

from __future__ import annotations

__all__ = [
    "ABSENT",
    "CLEAR_IMPRESSIONS",
    "GRADES",
    "IMPRESSIONS",
    "JOINT_ABSENT",
    "NEUTRAL",
    "NOUNS",
    "POSITIVE",
    "UNCERTAIN",
    "ZONE_NAMES",
]

ZONE_NAMES: dict[str, tuple[str, ...]] = {
    "upper": ("upper zone", "upper lobe", "upper lung zone", "upper lung", "apical region"),
    "middle": ("mid zone", "middle zone", "mid lung", "mid lung zone", "perihilar region"),
    "lower": ("lower zone", "lower lobe", "lung base", "lower lung", "basal region"),
}

GRADES: dict[str, dict[str, tuple[str, ...]]] = {
    "cardiomegaly": {
        "mild": ("mild", "slight", "borderline to mild"),
        "moderate": ("moderate",),
        "severe": ("severe", "marked", "massive"),
    },
    "pleural effusion": {
        "mild": ("small", "mild", "trace", "minimal"),
        "moderate": ("moderate", "moderate-sized", "medium-sized"),
        "severe": ("large", "massive", "extensive"),
    },
    "consolidation": {
        "mild": ("mild", "subtle", "small", "faint"),
        "moderate": ("moderate", "patchy"),
        "severe": ("dense", "extensive", "severe"),
    },
    "nodule": {
        "mild": ("small", "tiny", "faint"),
        "moderate": ("moderate-sized", "medium-sized", "well-defined"),
        "severe": ("large", "dominant", "sizable"),
    },
    "pneumothorax": {
        "mild": ("small", "tiny", "trace"),
        "moderate": ("moderate", "moderate-sized"),
        "severe": ("large", "extensive"),
    },
    "edema": {
        "mild": ("mild", "slight", "minimal"),
        "moderate": ("moderate",),
        "severe": ("severe", "marked", "florid"),
    },
    "atelectasis": {
        "mild": ("mild", "minor", "minimal"),
        "moderate": ("moderate",),
        "severe": ("marked", "extensive", "severe"),
    },
}

NOUNS: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("cardiomegaly", "cardiac enlargement", "enlargement of the cardiac silhouette"),
    "pleural effusion": ("pleural effusion", "effusion", "pleural fluid collection"),
    "consolidation": ("consolidation", "airspace opacity", "airspace consolidation", "infiltrate"),
    "nodule": ("nodule", "pulmonary nodule", "nodular opacity", "rounded lesion"),
    "pneumothorax": ("pneumothorax",),
    "edema": ("pulmonary edema", "interstitial edema", "pulmonary vascular congestion"),
    "atelectasis": ("atelectasis", "volume loss", "atelectatic change"),
}

POSITIVE: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "There is {grade} {noun}.",
        "{grade} {noun}.",
        "{grade} {noun} is present.",
        "The heart is enlarged, to a {grade} degree.",
        "The cardiac silhouette is enlarged, {grade} in degree.",
        "Heart size is increased, consistent with {grade} cardiomegaly.",
        "The cardiothoracic ratio is increased, in keeping with {grade} cardiomegaly.",
        "The transverse diameter of the heart exceeds half of the thoracic width: {grade} cardiomegaly.",
    ),
    "pleural effusion": (
        "There is a {grade} {side} {noun}.",
        "A {grade} {side} {noun} is seen.",
        "{grade} {side} pleural effusion.",
        "{grade} {noun} on the {side}.",
        "The {side} costophrenic angle is blunted by a {grade} pleural effusion.",
        "There is a {grade} amount of pleural fluid on the {side}.",
        "Blunting of the {side} costophrenic sulcus is consistent with a {grade} effusion.",
        "Layering fluid at the {side} base represents a {grade} pleural effusion.",
        "A meniscus obscures the {side} hemidiaphragm, compatible with a {grade} effusion.",
    ),
    "pleural effusion loculated": (
        "A {grade} loculated {side} pleural effusion lies along the lateral chest wall in the {zone}.",
        "There is a {grade} loculated effusion in the {side} {zone}.",
        "A pleural-based opacity in the {side} {zone} represents a {grade} loculated pleural effusion.",
    ),
    "consolidation": (
        "There is a {grade} {noun} in the {side} {zone}.",
        "{grade} {side} {zone} {noun}.",
        "A {grade} {noun} is seen in the {side} {zone}.",
        "A {grade} area of consolidation projects over the {side} {zone}.",
        "The {side} {zone} shows {grade} consolidation with ill-defined margins.",
        "{grade} airspace opacity in the {side} {zone} is suspicious for pneumonia.",
        "An ill-defined {grade} infiltrate occupies the {side} {zone}.",
        "Confluent opacification of the {side} {zone}, representing {grade} consolidation, may be infectious.",
        "{grade} {noun} within the {side} {zone}, with air bronchograms.",
    ),
    "nodule": (
        "There is a {grade} {noun} in the {side} {zone}.",
        "A {grade} {noun} measuring {size} projects over the {side} {zone}.",
        "{grade} {side} {zone} nodule.",
        "A {size} {noun} is seen in the {side} {zone}.",
        "A {grade} {noun} of about {size} lies in the {side} {zone}.",
        "Within the {side} {zone} there is a {grade} rounded nodule.",
        "A solitary {grade} {noun} with smooth margins overlies the {side} {zone}.",
        "Incidental {grade} {noun} in the {side} {zone}, {size} in diameter.",
    ),
    "pneumothorax upper": (
        "There is a {grade} {side} apical pneumothorax.",
        "A {grade} {side} pneumothorax is seen, with the pleural line visible at the apex.",
    ),
    "pneumothorax middle": (
        "There is a {grade} {side} pneumothorax along the lateral chest wall in the {zone}.",
        "A {grade} lateral pneumothorax is present on the {side}.",
    ),
    "pneumothorax lower": (
        "There is a {grade} {side} basal pneumothorax.",
        "A {grade} {side} pneumothorax is seen at the lung base with a deep costophrenic sulcus.",
    ),
    "pneumothorax": (
        "{grade} {side} pneumothorax.",
        "A {grade} pneumothorax is present on the {side}.",
        "A visceral pleural line in the {side} {zone} indicates a {grade} pneumothorax.",
        "{grade} {side} pneumothorax without mediastinal shift.",
        "Absent lung markings peripherally in the {side} {zone} reflect a {grade} pneumothorax.",
    ),
    "edema": (
        "There is {grade} {noun}.",
        "{grade} bilateral {noun}.",
        "Bilateral perihilar haze is in keeping with {grade} pulmonary edema.",
        "Indistinct vascular markings suggest {grade} pulmonary edema.",
        "The pulmonary vessels are prominent, consistent with {grade} vascular congestion.",
        "{grade} diffuse interstitial edema in both lungs.",
        "Hazy bilateral opacities with vascular redistribution represent {grade} edema.",
        "Cephalization of the vessels and bilateral haziness indicate {grade} pulmonary congestion.",
    ),
    "atelectasis": (
        "There is {grade} {noun} in the {side} {zone}.",
        "{grade} {side} {zone} atelectasis.",
        "{grade} {noun} is noted in the {side} {zone}.",
        "Volume loss in the {side} {zone} reflects {grade} atelectasis.",
        "Crowding of the bronchovascular markings in the {side} {zone} suggests {grade} atelectasis.",
    ),
    "atelectasis linear": (
        "{grade} linear atelectasis in the {side} {zone}.",
        "A band-like opacity in the {side} {zone} represents {grade} atelectasis.",
        "{grade} plate-like atelectasis crosses the {side} {zone}.",
        "Streaky density in the {side} {zone}, likely {grade} discoid atelectasis.",
    ),
    "atelectasis wedge": (
        "A wedge-shaped opacity in the {side} {zone} is compatible with {grade} subsegmental atelectasis.",
        "{grade} subsegmental atelectasis in the {side} {zone}.",
    ),
}

UNCERTAIN: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "The heart is possibly enlarged.",
        "Borderline heart size; {grade} cardiomegaly cannot be excluded.",
    ),
    "pleural effusion": (
        "Possible {grade} {side} pleural effusion.",
        "A {grade} {side} effusion cannot be excluded.",
        "There may be a {grade} {side} pleural effusion.",
    ),
    "consolidation": (
        "Possible {grade} {noun} in the {side} {zone}.",
        "A {noun} in the {side} {zone} cannot be excluded.",
        "Questionable {side} {zone} consolidation.",
    ),
    "nodule": (
        "Possible {grade} nodule in the {side} {zone}.",
        "A {grade} nodule in the {side} {zone} cannot be excluded.",
        "A questionable {noun} projects over the {side} {zone}.",
    ),
    "pneumothorax": (
        "Possible {grade} {side} pneumothorax.",
        "A {grade} {side} pneumothorax cannot be excluded.",
    ),
    "edema": ("Possible {grade} pulmonary edema.", "{grade} interstitial edema cannot be excluded."),
    "atelectasis": (
        "Possible {grade} atelectasis in the {side} {zone}.",
        "{side} {zone} opacity may represent atelectasis.",
    ),
}

IMPRESSIONS: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("{grade} cardiomegaly.", "Cardiomegaly.", "Enlarged heart."),
    "pleural effusion": ("{grade} {side} pleural effusion.", "{side} pleural effusion.", "{side}-sided effusion."),
    "consolidation": (
        "{side} {zone} consolidation.",
        "{side} {zone} pneumonia with {grade} consolidation.",
        "Consolidation in the {side} {zone}, likely infectious.",
        "{side} {zone} airspace opacity.",
    ),
    "nodule": (
        "{side} {zone} nodule.",
        "{side} {zone} pulmonary nodule; follow-up CT is recommended.",
        "{grade} nodule in the {side} {zone}.",
    ),
    "pneumothorax": ("{grade} {side} pneumothorax.", "{side} pneumothorax.", "Pneumothorax on the {side}."),
    "edema": ("{grade} pulmonary edema.", "Pulmonary edema.", "Findings of {grade} vascular congestion."),
    "atelectasis": ("{side} {zone} atelectasis.", "{grade} {side} {zone} atelectasis.", "Atelectasis, {side} {zone}."),
}

# Sentences that rule out one class.
ABSENT: dict[str, tuple[str, ...]] = {
    "cardiomegaly": (
        "The heart size is normal.",
        "Heart size is within normal limits.",
        "The cardiac silhouette is normal in size.",
        "No cardiomegaly.",
        "The heart is not enlarged.",
    ),
    "pleural effusion": (
        "No pleural effusion.",
        "There is no pleural effusion.",
        "The costophrenic angles are sharp.",
        "No effusion is seen.",
        "No pleural fluid collection.",
        "Both costophrenic sulci are clear.",
    ),
    "consolidation": (
        "No focal consolidation.",
        "There is no focal airspace opacity.",
        "No consolidation is seen.",
        "No lobar opacification.",
        "No infiltrate.",
        "No evidence of pneumonia.",
    ),
    "nodule": (
        "No suspicious pulmonary nodule.",
        "There is no nodule or mass.",
        "No discrete nodular lesion.",
        "No pulmonary nodules are identified.",
    ),
    "pneumothorax": (
        "No pneumothorax.",
        "There is no pneumothorax.",
        "No pneumothorax is identified.",
        "No evidence of pneumothorax.",
        "No pleural line to suggest pneumothorax.",
    ),
    "edema": (
        "No pulmonary edema.",
        "The pulmonary vasculature is within normal limits.",
        "Pulmonary vascularity is normal.",
        "There is no vascular congestion.",
        "No signs of pulmonary venous hypertension or edema.",
    ),
    "atelectasis": ("No atelectasis.", "Lung volumes are preserved without atelectasis.", "There is no volume loss."),
}

# Sentences that rule out several classes at once.
JOINT_ABSENT: tuple[tuple[tuple[str, ...], str], ...] = (
    (("pleural effusion", "pneumothorax"), "No pleural effusion or pneumothorax."),
    (("pleural effusion", "pneumothorax"), "There is no pleural effusion or pneumothorax."),
    (("pleural effusion", "pneumothorax"), "The pleural spaces are clear."),
    (
        ("consolidation", "pleural effusion", "pneumothorax"),
        "No focal consolidation, pleural effusion or pneumothorax.",
    ),
    (("consolidation", "pneumothorax"), "There is no consolidation or pneumothorax."),
    (("consolidation", "edema"), "No consolidation or edema."),
    (("consolidation", "nodule", "edema", "atelectasis"), "The lungs are clear."),
    (("consolidation", "nodule", "edema", "atelectasis"), "Both lungs are well expanded and clear."),
    (("consolidation", "pleural effusion"), "Neither consolidation nor effusion is identified."),
    (("cardiomegaly", "edema"), "No cardiomegaly or pulmonary edema."),
    (("cardiomegaly",), "The cardiomediastinal silhouette is normal."),
)

NEUTRAL = (
    "The osseous structures are intact.",
    "The bony thorax is unremarkable.",
    "No acute osseous abnormality.",
    "The trachea is midline.",
    "The mediastinal contours are unremarkable.",
    "The aortic knob is well defined.",
    "No subdiaphragmatic free air.",
    "The visualized ribs and clavicles are intact.",
    "Mediastinal structures are not displaced.",
    "The tracheal air column is central.",
    "The upper abdomen is unremarkable.",
    "No acute rib fracture is identified.",
    "Vertebral alignment is maintained.",
    "No aggressive bone lesion.",
    "The visualized soft tissues are unremarkable.",
    "There is no free air beneath the diaphragm.",
    "The aorta is unremarkable.",
    "Technical quality of the examination is adequate.",
    "No support devices are present.",
    "Single frontal view of the chest was obtained.",
    "The film is adequately exposed.",
    "No displaced fracture.",
)

CLEAR_IMPRESSIONS = (
    "No acute cardiopulmonary abnormality.",
    "No acute cardiopulmonary process.",
    "Normal chest radiograph.",
    "No radiographic evidence of acute disease in the chest.",
    "Unremarkable frontal chest radiograph.",
    "No active disease.",
    "Clear lungs and normal heart size.",
    "No significant abnormality.",
)
