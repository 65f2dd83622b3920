"""From an evaluated cohort to a recipe that promises an error, and the promise held against other patients."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_scripts import run as run_script
from typer.testing import CliRunner

from calcscore_ml.anatomy import ARTERIES, Label
from calcscore_ml.assessment import assess_cohort
from calcscore_ml.cli import app
from calcscore_ml.errors import ResultError
from calcscore_ml.evaluation.referral_losses import rising_thresholds
from calcscore_ml.judged import losses_of, losses_with, read_judged, stakes_in
from calcscore_ml.manifest import read_manifest
from calcscore_ml.promises import hold_against, make_promise, over_splits, promised_recipe
from calcscore_ml.recipe import read_recipe
from calcscore_ml.referral.decision import decide, most_probable_artery
from calcscore_ml.referral.policy import ReferralPolicy, refer, stake_in
from calcscore_ml.referral.promise import LOSSES, SMALL_AGATSTON, choose_threshold
from calcscore_ml.referral.stakes import weigh
from calcscore_ml.referral.uncertainty import measure
from calcscore_ml.reports.assessment import write_assessment
from calcscore_ml.scores.risk import find_scheme

SCHEME = find_scheme("standard")


def made_folder(folder, seed, patients=150, model="a" * 64, lesions=9):
    """An evaluation's folder of made patients whose model is calibrated: truths are drawn from its probabilities."""
    rng = np.random.default_rng(seed)
    tables, scans = [], []
    for i in range(patients):
        p = rng.dirichlet(np.full(len(Label), 0.25), lesions)
        truth = np.array([rng.choice(len(Label), p=q) for q in p])
        effect = np.where(rng.random(lesions) < 0.2, 0.0, rng.exponential(20, lesions).round(1))
        labels, uncertainty = decide(p), measure(p)
        stakes = weigh(p, labels, effect, SCHEME, draws=300)
        tables.append(
            pd.DataFrame(
                {
                    "scan_id": f"s{i}",
                    "truth": truth,
                    "predicted": labels,
                    "likeliest": most_probable_artery(p),
                    "coronary": uncertainty.coronary,
                    "entropy": uncertainty.entropy,
                    "margin": uncertainty.margin,
                    "agatston": stakes.effect,
                    "doubt": stakes.doubt,
                    "change": stakes.change,
                    "category": stakes.category,
                }
            )
        )
        in_artery = np.isin(truth, ARTERIES)
        scans.append({"patient": i + 1, "scan_id": f"s{i}", "agatston_truth": float(effect[in_artery].sum())})
    folder.mkdir()
    pd.concat(tables).to_csv(folder / "lesions.csv", index=False)
    pd.DataFrame(scans).to_csv(folder / "scans.csv", index=False)
    recipe = {"name": "made", "location": {"atlases": ""}}
    (folder / "model.json").write_text(json.dumps({"model": {"model_sha256": model}, "recipe": recipe}))
    return folder


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    return made_folder(tmp_path_factory.mktemp("promises") / "spring", 0)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    return made_folder(tmp_path_factory.mktemp("promises") / "autumn", 1, patients=300)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_promise_made_on_some_patients_holds_on_others(calibration, held_out, loss):
    """The observed error of held-out patients is at most what was tolerated, and less is referred than everything."""
    promise = make_promise(read_judged(calibration), loss, 0.15)
    kept = hold_against(promise, read_judged(held_out), n=100)
    assert kept.patients == 300
    assert kept.after.value <= 0.15 + 0.02  # one draw of patients, not the mean over draws
    assert kept.before.value > kept.after.value
    assert 0 < kept.referred < 7


@pytest.mark.parametrize("loss", LOSSES)
def test_a_promise_for_an_expert_who_errs_holds_with_one(calibration, held_out, loss):
    """It keeps the error below what is tolerated though one decision in twenty is wrong, and says so."""
    promise = make_promise(read_judged(calibration), loss, 0.25, expert_error=0.05)
    kept = hold_against(promise, read_judged(held_out), n=20)
    assert kept.expert_error == 0.05
    assert kept.after.value <= 0.25 + 0.02
    assert "err on 0.05 of the lesions" in promise.say()
    with pytest.raises(ResultError, match="the expert's errors"):
        make_promise(read_judged(calibration), loss, 0.02, expert_error=0.05)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_least_that_can_be_promised_is_what_experts_leave_of_all_that_is_at_stake(calibration, loss):
    """A refused promise names the bound when all lesions with a stake are decided, the mean over experts who err."""
    judged = read_judged(calibration)
    stakes = stakes_in(judged, loss, 0.05)
    none, lowest, *_ = rising_thresholds(stakes[judged.lesions["agatston"] > 0])
    assert none == 0 < lowest
    losses = losses_with(judged, stakes, np.array([lowest]), loss, 0.05).losses
    assert not np.isin(losses * 9, range(10)).all()  # of several experts
    with pytest.raises(ResultError, match=f"at least {(150 * losses.mean() + 1) / 151:.3g} must"):
        make_promise(judged, loss, 0.001, expert_error=0.05)


def test_an_expert_is_not_asked_what_the_model_is_surer_of():
    """A lesion whose label is wrong less often than the expert errs has nothing at stake, the others less."""
    p = np.array([[0.03, 0.97, 0, 0, 0, 0, 0, 0], [0.3, 0.7, 0, 0, 0, 0, 0, 0]])
    stakes = weigh(p, decide(p), np.array([9.0, 9.0]), SCHEME)
    for loss in LOSSES:
        plain, net = stake_in(loss, stakes), stake_in(loss, stakes, 0.05)
        assert (plain > 0).all()
        assert net[0] == 0
        assert 0 < net[1] < plain[1]


@pytest.mark.parametrize("loss", LOSSES)
def test_an_expert_who_errs_leaves_more(calibration, held_out, loss):
    """The more a simulated expert errs, the more is left; one who never errs leaves least."""
    promise, judged = make_promise(read_judged(calibration), loss, 0.15), read_judged(held_out)
    left = [hold_against(promise, judged, expert_error=e, n=20).after.value for e in (0, 0.05, 0.3, 1)]
    assert left == sorted(left)
    assert left[0] < left[-1]


def test_a_stronger_promise_asks_more(calibration, held_out):
    """Less tolerated, or promised with confidence, never refers fewer lesions."""
    judged, others = read_judged(calibration), read_judged(held_out)

    def asked(*args, **kwargs):
        return hold_against(make_promise(judged, "category", *args, **kwargs), others, n=20).referred

    assert asked(0.1) >= asked(0.2) >= asked(0.4)
    assert asked(0.2, confidence=0.9) >= asked(0.2)


def test_stakes_of_a_cohort_are_those_of_its_scans(calibration):
    """What promises order lesions by in tables is what the policy orders them by, scan by scan."""
    judged = read_judged(calibration)
    rng = np.random.default_rng(0)  # the folder's own draws, for its first scan
    p = rng.dirichlet(np.full(len(Label), 0.25), 9)
    [rng.choice(len(Label), p=q) for q in p]
    effect = np.where(rng.random(9) < 0.2, 0.0, rng.exponential(20, 9).round(1))
    stakes = weigh(p, decide(p), effect, SCHEME, draws=300)
    for loss in LOSSES:
        for errs in (0.0, 0.05):
            assert stakes_in(judged, loss, errs)[:9] == pytest.approx(stake_in(loss, stakes, errs))


def test_a_promised_recipe_refers_what_the_promise_needs(calibration, tmp_path):
    """The written recipe reads back with the promise, and refers exactly the lesions at or above its threshold."""
    judged = read_judged(calibration)
    promise = make_promise(judged, "category", 0.15, confidence=0.8)
    file = tmp_path / "promised.toml"
    file.write_text(promised_recipe(judged, promise))
    policy = read_recipe(file).referral
    assert policy.promise == promise
    p = np.random.default_rng(3).dirichlet(np.full(len(Label), 0.25), 30)
    effect = np.full(30, 8.0)
    stakes = weigh(p, decide(p), effect, SCHEME)
    referred = refer(policy, measure(p), stakes).referred
    assert (referred == (stakes.category >= promise.threshold)).all()
    assert refer(ReferralPolicy(), measure(p), stakes).referred.sum() != referred.sum()


@pytest.mark.parametrize("loss", LOSSES)
def test_promises_hold_over_splits(calibration, held_out, loss):
    """Over random splits the mean error is at most what was tolerated, and with confidence rarely above."""
    pot = [read_judged(calibration), read_judged(held_out)]
    found = over_splits(pot, loss, 0.15, calibrate=100, splits=100)
    assert found.impossible == 0
    assert 0.08 < found.observed <= 0.15
    sure = over_splits(pot, loss, 0.2, calibrate=100, splits=100, confidence=0.9)
    assert sure.above <= 0.1
    assert over_splits(pot, loss, 0.001, calibrate=100, splits=5).impossible == 5


def test_a_split_holds_a_promise_against_the_other_patients(calibration):
    """One split is a promise of the first patients drawn, observed on all the others."""
    judged = read_judged(calibration)
    found = over_splits([judged], "lesions", 0.15, calibrate=60, splits=1, seed=3)
    order = np.random.default_rng(3).permutation(150)
    thresholds = rising_thresholds(stakes_in(judged, "lesions")[judged.lesions["agatston"] > 0])
    losses = losses_of(judged, stakes_in(judged, "lesions"), thresholds, "lesions").losses
    chosen = choose_threshold(losses[order[:60]], thresholds, 0.15)
    assert found.observed == pytest.approx(losses[order[60:], thresholds == chosen].mean())


def test_errors_of_a_small_score_are_relative_to_a_small_score(calibration):
    """Where the expected score is below it, a lesion's change counts over `SMALL_AGATSTON`."""
    judged = read_judged(calibration)
    lesions = judged.lesions.assign(agatston=judged.lesions["agatston"] / 1e3, change=judged.lesions["change"] / 1e3)
    small = replace(judged, lesions=lesions)
    assert stakes_in(small, "agatston") == pytest.approx(lesions["change"].to_numpy() / SMALL_AGATSTON)


def test_a_promise_of_one_model_is_not_held_against_another(calibration, tmp_path):
    """Patients evaluated with another model are refused, and both models are named."""
    promise = make_promise(read_judged(calibration), "category", 0.2)
    other = read_judged(made_folder(tmp_path / "other", 2, patients=12, model="b" * 64))
    with pytest.raises(ResultError, match="aaaaaaaaaaaa, got bbbbbbbbbbbb in other"):
        hold_against(promise, other)


def test_what_is_no_evaluation_is_refused(calibration, tmp_path):
    """A missing folder, a broken file and a missing column are errors that name it."""
    with pytest.raises(ResultError, match="evaluate again"):
        read_judged(tmp_path)
    broken = made_folder(tmp_path / "broken", 3, patients=3)
    lesions = pd.read_csv(broken / "lesions.csv")
    lesions.drop(columns="change").to_csv(broken / "lesions.csv", index=False)
    with pytest.raises(ResultError, match="change"):
        read_judged(broken)
    (broken / "model.json").write_text('{"model": 3}')
    with pytest.raises(ResultError, match="broken"):
        read_judged(broken)


def test_a_real_evaluation_is_one_that_promises_are_made_from(cohort, bundle, recipe, tmp_path):
    """What an assessed cohort writes is read back: lesions, patients, model and recipe."""
    rows = [r for r in read_manifest(cohort) if r.split == "test"]
    found = assess_cohort(rows, bundle, recipe, resamples=20)
    judged = read_judged(write_assessment(tmp_path / "evaluation", found))
    assert judged.model == bundle.identity
    assert judged.recipe == recipe
    assert len(judged.scans) == len(rows)
    assert stakes_in(judged, "lesions") == pytest.approx(found.lesions["doubt"].to_numpy())
    with pytest.raises(ResultError, match="bring more patients"):
        make_promise(judged, "category", 0.05)


def run(*args):
    return CliRunner().invoke(app, ["promise", *map(str, args)])


def test_the_command_writes_a_recipe_and_holds_it_against_others(calibration, held_out, tmp_path):
    """A newcomer gets the recipe, the promise in words and the held-out table; machines get the same as JSON."""
    file = tmp_path / "promised.toml"
    shown = run(calibration, "--tolerated", 0.2, "--check", held_out, "-o", file)
    assert shown.exit_code == 0, shown.output
    for part in ("wrong risk category is at most 0.2", "Calibrated on 150 patients", "300 held-out patients"):
        assert part in " ".join(shown.output.split())
    assert read_recipe(file).referral.promise.patients == 150
    again = run(calibration, "--tolerated", 0.2, "-o", file)
    assert again.exit_code == 2
    told = run(calibration, "--loss", "agatston", "--check", held_out, "-o", file, "--overwrite", "--json")
    content = json.loads(told.stdout)
    assert content["promise"]["loss"] == "agatston"
    assert content["held_out"]["after"]["value"] <= 0.12


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--loss", "sleep"), "lesions, category, agatston"),
        (("--tolerated", 1.2), "between 0 and 1"),
        (("--confidence", 0), "between 0 and 1"),
        (("--tolerated", 0.001), "bring more patients"),
    ],
)
def test_wrong_use_of_the_command_is_told(calibration, tmp_path, wrong, says):
    """Unknown errors, impossible shares and promises that cannot be kept end with code 2 and a reason."""
    shown = run(calibration, "-o", tmp_path / "p.toml", *wrong)
    assert shown.exit_code == 2
    assert says in shown.output.replace("\n", " ").replace("│", "").replace("  ", " ")
    assert not (tmp_path / "p.toml").exists()


def test_a_promise_is_not_held_against_its_own_patients(calibration, tmp_path):
    """The folder it was calibrated on is no held-out folder."""
    shown = run(calibration, "--check", calibration, "-o", tmp_path / "p.toml")
    assert shown.exit_code == 2
    assert "other patients" in shown.output


def test_a_score_by_a_promised_recipe_says_what_is_promised(bundle, recipe, cohort):
    """The result holds the promise in words, and warns when it was made for another model."""
    from calcscore_ml.io import read_scan
    from calcscore_ml.pipeline import describe_scan, score_scan
    from calcscore_ml.referral.promise import Promise

    scan = read_scan(read_manifest(cohort)[0].image)
    described = describe_scan(scan, recipe)

    def scored(sha):
        promise = Promise("category", 0.1, 0.02, 50, model_sha256=sha)
        policy = replace(recipe.referral, promise=promise, max_lesions=0)
        told = recipe.model_copy(update={"referral": policy})
        return score_scan(scan, bundle, told, scan_id="a", described=described).result

    own = scored(bundle.identity["model_sha256"])
    assert "wrong risk category is at most 0.1" in own.promise
    assert all(n.category >= 0.02 for n in own.lesions if n.referred)
    assert not [r for r in own.remarks if r.code == "promise"]
    assert [r for r in scored("f" * 64).remarks if "another model" in r.text]


def test_scripts_draw_policies_and_hold_promises(calibration, held_out, tmp_path):
    """The two studies write their figure and their tables: a row per order, per promise and per split."""
    told = run_script("referral_curves.py", held_out, tmp_path, "--expert-error", 0.05)
    assert (tmp_path / "policies.png").read_bytes().startswith(b"\x89PNG")
    for part in ("| oracle |", "| random |", "| category |", "lesions to halve it"):
        assert part in told
    page = tmp_path / "promises.md"
    told = run_script("check_promises.py", calibration, held_out, page, "--tolerated", 0.001, 0.15, "--splits", 5)
    assert page.read_text().strip() == told.strip()
    asked = 2 * 3 * 2 * 2  # experts, errors, shares tolerated, with and without confidence
    refused = told.count("bring more patients")
    rows = [line for line in told.splitlines() if line.startswith("| ") and "tolerated" not in line]
    assert len(rows) == asked - refused + asked
    assert refused >= asked / 2


def test_limits_on_deciding_lesions_are_compared(held_out, tmp_path):
    """A higher limit asks for more lesions and leaves fewer wrong categories; scans without a score are left out."""
    recipe = tmp_path / "narrow.toml"
    recipe.write_text('name = "narrow"\n[referral]\ncoronary_low = 0.49\ncoronary_high = 0.51\n')
    told = run_script("calibrate_deciding.py", held_out, "--recipe", recipe, "--limits", 0, 0.9, 1)
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line[:3] in ("| 0", "| 1")
    ]
    asked, wrong = ([float(row[i]) for row in rows] for i in (1, 3))
    assert len(rows) == 3
    assert asked == sorted(asked)
    assert asked[0] < asked[-1]
    assert wrong[0] > wrong[-1]
    judged = read_judged(held_out)
    silent = replace(judged, scans=judged.scans.assign(no_score=judged.scans["scan_id"] == "s0")).with_score()
    assert len(silent.scans) == len(judged.scans) - 1
    assert set(judged.lesions["scan_id"]) - set(silent.lesions["scan_id"]) == {"s0"}
