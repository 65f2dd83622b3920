"""Laws of model bundles: nothing altered, unsafe or drifted is ever used."""

import json
import pickle
import zipfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import calcscore_ml.models.card as card_module
from calcscore_ml.anatomy import Label
from calcscore_ml.errors import ModelError, ResultError
from calcscore_ml.models import CLASSIFIERS, ESTIMATORS, fit_estimator, make_estimator
from calcscore_ml.models.bundle import (
    CARD_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    load_bundle,
    make_bundle,
    predict,
    save_bundle,
)
from calcscore_ml.models.golden import GOLDEN_ROWS, golden_bytes
from calcscore_ml.models.skops_file import ALLOWED_TYPES, dump_estimator, load_estimator

FEATURES = tuple(f"feature_{i}_mm" for i in range(12))
KNN = {"selection_rows": 200, "max_features": 5}
SVM = {"n_members": 5, "rows_per_member": 200}
TREES = {"n_trees": 10, "rows_per_member": 200}
QUICK = {
    "sequential_knn": KNN | {"stage_one_features": 3},
    "bagged_svm": SVM,
    "knn": KNN,
    "svm": SVM,
    "trees": TREES,
    "two_stage": {
        "first": {"estimator": "knn", "features": ["feature_1*"], "n_members": 2} | KNN,
        "second": {"estimator": "svm"} | SVM,
    },
    "merged": {"classifiers": {"near": {"estimator": "knn"} | KNN, "trees": {"estimator": "trees"} | TREES}},
    "rules": {"limits": {"feature_11_mm": {"at_least": 0.5}}, "arteries": {"LAD": FEATURES[0], "RCA": FEATURES[1]}},
}


def lesions(seed=0, n=400):
    """A small table with labels other, LAD, RCA and mitral valve."""
    rng = np.random.default_rng(seed)
    y = rng.choice([0, 1, 3, 7], n, p=[0.7, 0.15, 0.1, 0.05])
    X = rng.normal(size=(n, len(FEATURES))) + y[:, None] * np.linspace(0, 1, len(FEATURES))
    X[rng.random(X.shape) < 0.02] = np.nan
    return X, y, rng.integers(0, 30, n)


def trained(name):
    """A bundle, not on disk."""
    X, y, patient = lesions()
    return make_bundle(
        fit_estimator(make_estimator(name, QUICK[name], 0, FEATURES), X, y, patient),
        name="test",
        features=FEATURES,
        table=X,
        recipe={"model": {"estimator": name}},
        training_sha256="0" * 64,
        trained_on="made-up lesions",
        metrics={"sensitivity": 0.9, "undefined": float("nan")},
        units={"feature_0_mm": "mm"},
    )


@pytest.fixture(scope="module", params=[name for name, _ in CLASSIFIERS])
def bundle(request):
    return trained(request.param)


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(tmp_path / "model", bundle)


def sign_again(folder):
    """Write the hashes of the files as they are on the card, as a forger would."""
    card = json.loads((folder / CARD_FILE).read_text())
    card["files"] = {f: sha256((folder / f).read_bytes()).hexdigest() for f in (MODEL_FILE, GOLDEN_FILE)}
    (folder / CARD_FILE).write_text(json.dumps(card))


def test_a_bundle_comes_back_as_it_was(bundle, folder):
    """Loading gives the same card and, to the last digit, the same answers."""
    back = load_bundle(folder)
    table = pd.DataFrame(lesions(seed=1)[0], columns=FEATURES)
    for there, here in zip(predict(back, table), predict(bundle, table), strict=True):
        assert (there == here).all()
    assert replace(back.card, metrics={}) == replace(bundle.card, metrics={})
    assert back.card.metrics["sensitivity"] == 0.9
    assert np.isnan(back.card.metrics["undefined"])
    assert back.remarks == ()
    assert back.identity == bundle.identity
    assert "not a medical device" in back.identity["intended_use"]


def test_the_same_training_gives_the_same_bytes(bundle, folder, tmp_path):
    """Bundles hold no date, address or chance: trained twice, or saved again after loading, they are equal files."""
    again = save_bundle(tmp_path / "again", trained(bundle.card.recipe["model"]["estimator"]))
    loaded = save_bundle(tmp_path / "loaded", load_bundle(folder))
    for file in (MODEL_FILE, CARD_FILE, GOLDEN_FILE):
        assert (folder / file).read_bytes() == (again / file).read_bytes() == (loaded / file).read_bytes()


def test_probabilities_have_a_column_per_label(bundle):
    """A label the model never saw has probability 0, and an empty scan gives empty arrays."""
    table = pd.DataFrame(lesions(seed=2)[0], columns=FEATURES)
    probabilities, members = predict(bundle, table)
    assert probabilities.shape == (400, len(Label))
    assert (probabilities[:, [2, 4, 5, 6]] == 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert members.shape[1:] == probabilities.shape
    nothing, nobody = predict(bundle, table[:0])
    assert nothing.shape == (0, len(Label))
    assert nobody.shape == (members.shape[0], 0, len(Label))


def test_features_are_found_by_name(bundle):
    """Columns in another order, or beside others, give the same answers; a missing one is named."""
    table = pd.DataFrame(lesions(seed=3)[0], columns=FEATURES)
    shuffled = table[list(FEATURES[::-1])].assign(more=1.0)
    assert (predict(bundle, shuffled)[0] == predict(bundle, table)[0]).all()
    with pytest.raises(ModelError, match="feature_3_mm"):
        predict(bundle, table.drop(columns="feature_3_mm"))


def test_golden_rows_hold_the_doubtful(bundle):
    """Golden rows are doubtful and sure ones, unless rules decide, and none is a lesion of the training table."""
    assert bundle.golden.features.shape == (GOLDEN_ROWS, len(FEATURES))
    sure = bundle.golden.probabilities.max(axis=1)
    assert (sure < 0.9).sum() >= (0 if bundle.card.recipe["model"]["estimator"] == "rules" else 20)
    assert (sure > 0.9).any()
    assert not (bundle.golden.features[:, None] == lesions()[0]).all(axis=2).any()


class _Hostile:
    def __reduce__(self):
        return (pytest.fail, ("code of a pickle ran",))


@pytest.mark.parametrize("signed", [False, True])
def test_a_pickle_is_never_opened(folder, signed):
    """A pickle in the model's place is refused unopened, even with a card that matches it."""
    (folder / MODEL_FILE).write_bytes(pickle.dumps(_Hostile()))
    if signed:
        sign_again(folder)
    with pytest.raises(ModelError, match=r"pickle or joblib|altered"):
        load_bundle(folder)


def test_a_type_that_is_not_allowed_is_named(folder):
    """A model holding a foreign type is refused, and the type named, before anything is made."""
    (folder / MODEL_FILE).write_bytes(skops.io.dumps({"estimator": pytest.fail}))
    sign_again(folder)
    with pytest.raises(ModelError, match=r"_pytest\.outcomes\._?[fF]ail"):
        load_bundle(folder)


def test_a_foreign_type_cannot_be_saved():
    """What could not be loaded is not saved either."""
    with pytest.raises(ModelError, match=r"test_bundle\._Hostile|_Hostile"):
        dump_estimator({"a": _Hostile})


def test_allowed_types_are_exactly_the_needed_ones():
    """Each allowed type is an own estimator or numpy's dtype, and is found in some model."""
    own = {f"{kind.__module__}.{kind.__qualname__}" for kind in ESTIMATORS}
    assert set(ALLOWED_TYPES) - own == {"numpy.dtype"}
    found = set()
    for name, _ in CLASSIFIERS:
        found |= set(skops.io.get_untrusted_types(data=dump_estimator(trained(name).estimator)))
    assert found == set(ALLOWED_TYPES)


@pytest.mark.parametrize("file", [MODEL_FILE, GOLDEN_FILE])
def test_an_altered_file_is_refused(folder, file):
    """One changed byte is found, and the message names the file."""
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=file):
        load_bundle(folder)


def test_a_whole_file_of_another_model_is_refused(folder):
    """A file that is whole and safe, but not the one the card was written for, is refused as altered."""
    with np.load(folder / GOLDEN_FILE) as arrays:
        kept = dict(arrays)
    np.savez_compressed(folder / GOLDEN_FILE, **kept)
    with pytest.raises(ModelError, match="broken or altered"):
        load_bundle(folder)


def test_archives_hold_no_date(folder):
    """Every file in the model's archive is dated 1980, the earliest zip can say."""
    with zipfile.ZipFile(folder / MODEL_FILE) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("file", [MODEL_FILE, CARD_FILE, GOLDEN_FILE])
def test_a_missing_file_is_named(folder, file):
    """A bundle without one of its files is an error that names it."""
    (folder / file).unlink()
    with pytest.raises(ModelError, match=file):
        load_bundle(folder)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_model_is_refused(folder, keep):
    """A model file cut short is an error of its own, whatever the card says."""
    content = (folder / MODEL_FILE).read_bytes()
    (folder / MODEL_FILE).write_bytes(content[: int(len(content) * keep)])
    sign_again(folder)
    with pytest.raises(ModelError, match="whole skops file"):
        load_bundle(folder)


def test_a_model_without_its_description_is_refused(tmp_path):
    """A zip archive that is no skops file is refused."""
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ModelError, match="whole skops file"):
        load_estimator((tmp_path / "x").read_bytes(), "x")


def test_drift_is_found(bundle, folder):
    """A model that answers its golden rows differently, in the sixth digit, is refused."""
    other = replace(bundle.golden, probabilities=bundle.golden.probabilities + 2e-6)
    (folder / GOLDEN_FILE).write_bytes(_golden_file(other))
    sign_again(folder)
    with pytest.raises(ModelError, match="golden rows"):
        load_bundle(folder)


def test_golden_rows_are_never_unpickled(folder):
    """Objects among the golden rows are refused."""
    np.savez(folder / GOLDEN_FILE, features=np.array([_Hostile()], dtype=object), probabilities=np.zeros(1))
    sign_again(folder)
    with pytest.raises(ModelError, match="arrays of numbers"):
        load_bundle(folder)


def test_something_else_than_a_pipeline_is_refused(folder):
    """A safe file that holds no pipeline is refused."""
    model = LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])
    (folder / MODEL_FILE).write_bytes(skops.io.dumps(model))
    sign_again(folder)
    with pytest.raises(ModelError, match="Pipeline"):
        load_bundle(folder)


def test_another_version_is_a_remark(folder, monkeypatch):
    """A model trained with another version of a package is used when its golden rows agree, and says so."""
    monkeypatch.setattr(card_module, "version", lambda name: "99.1.0" if name == "numpy" else "0.1.0")
    remarks = load_bundle(folder).remarks
    assert any(r.startswith("trained with numpy") and "99.1.0" in r for r in remarks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "layout 1"),
        ({"more": 1}, "more"),
        ({"name": None}, "name"),
        ({"features": list(FEATURES[::-1])}, "hash"),
    ],
)
def test_a_card_that_breaks_a_rule_is_refused(folder, change, said):
    """A card of another layout, with an unknown or wrong field, or with other features, is an error that says which."""
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | change))
    with pytest.raises(ModelError, match=said):
        load_bundle(folder)


def test_nothing_is_replaced_unasked(bundle, folder, tmp_path):
    """An existing bundle is kept unless overwriting is asked for, and a folder of something else is kept always."""
    with pytest.raises(ResultError, match="kept"):
        save_bundle(folder, bundle)
    (folder / "stale.txt").write_text("old")
    save_bundle(folder, bundle, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == sorted([MODEL_FILE, CARD_FILE, GOLDEN_FILE])
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(ModelError, match="only a model bundle"):
        save_bundle(mine, bundle, overwrite=True)
    assert (mine / "thesis.txt").read_text() == "precious"


def test_a_failed_write_leaves_the_old_bundle(bundle, folder, monkeypatch):
    """When writing breaks off, the old bundle is there and whole."""
    monkeypatch.setattr("calcscore_ml.models.bundle.write_card", lambda card: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_bundle(folder, bundle, overwrite=True)
    monkeypatch.undo()
    assert load_bundle(folder).card.name == "test"
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": FEATURES[:5]}, "must agree"),
        ({"table": np.zeros((3, 2))}, "must agree"),
        ({"features": (*FEATURES[:11], FEATURES[0])}, "repeated"),
    ],
)
def test_a_bundle_must_fit_its_model(bundle, change, said):
    """Names or a table that do not fit the estimator are refused."""
    fields = {
        "name": "x",
        "features": FEATURES,
        "table": lesions()[0],
        "recipe": {},
        "training_sha256": "",
        "trained_on": "",
        "metrics": {},
    }
    with pytest.raises(ModelError, match=said):
        make_bundle(bundle.estimator, **(fields | change))


def test_labels_must_be_known():
    """A model of labels that are not ours is not made into a bundle."""
    X, y, patient = lesions()
    model = fit_estimator(make_estimator("bagged_svm", QUICK["bagged_svm"]), X, np.where(y == 7, 12, y), patient)
    with pytest.raises(ModelError, match="12"):
        make_bundle(
            model,
            name="x",
            features=FEATURES,
            table=X,
            recipe={},
            training_sha256="",
            trained_on="",
            metrics={},
        )
    assert isinstance(model, Pipeline)


def _golden_file(golden):
    return golden_bytes(golden)
